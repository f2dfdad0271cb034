"""A handler blocks the event loop and the process is killed: the next one knows where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, until

pytestmark = pytest.mark.once

KINDS = """
import time
from pathlib import Path
from quart_app import task

@task("blocks")
async def blocks(flag: str) -> str:
    while not Path(flag).exists():
        time.sleep(0.01)  # the line that blocks
    return "over"
"""


@pytest.mark.parametrize("command", ["serve", "uvicorn"])
def test_what_blocked_a_server_that_was_killed_is_in_the_history(
    make_server: MakeServer, tmp_path: Path, command: Command
) -> None:
    kinds, flag = tmp_path / "blocking.py", tmp_path / "flag"
    kinds.write_text(KINDS)
    server = make_server(tasks=kinds).start(command).wait_ready()
    task_id = server.post("blocks", {"flag": str(flag)})
    kept = server.data / "blocked.json"
    until(kept.exists, "the note")
    assert kept.stat().st_mode & 0o777 == 0o600
    until(lambda: "the event loop is blocked" in server.log, "the line in the log")
    assert task_id in next(line for line in server.log.splitlines() if "the event loop is blocked" in line)
    server.kill9()
    flag.touch()
    server.start(command).wait_ready()
    assert server.ended(task_id)["result"] == "over"
    history = server.client.get(f"/tasks/{task_id}/history").json()
    (line,) = history["logs"]
    assert line["message"] == "it blocks the event loop; where it is"
    assert line["fields"]["frames"][0]["function"] == "blocks"
    assert [one["outcome"] for one in history["attempts"]] == ["crash", "complete"]
    assert not kept.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"task":"x","fence":1,"at":1,"data":"{}"}'])
def test_a_note_that_is_of_no_use_is_thrown_away(make_server: MakeServer, text: str) -> None:
    server = make_server()
    server.data.mkdir(exist_ok=True, parents=True)
    (server.data / "blocked.json").write_text(text)
    server.start().wait_ready()
    assert not (server.data / "blocked.json").exists()
