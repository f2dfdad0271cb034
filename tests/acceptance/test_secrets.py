"""Secret settings: read from files, and shown to nobody: not to a child process, not in an error, not in the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server

PASSWORD = "correct horse/battery"
MAIL = "smtp://ann:correct%20horse%2Fbattery@127.0.0.1:9"
KEY = "ann-0123456789abcdef"
OTHER = "bob-0123456789abcdef"

TASKS = """
import os
import resource

from quart_app import TaskContext, task
from quart_app.engine.processes.child import ProcessTaskContext


@task("leak")
async def leak(ctx: TaskContext, text: str):
    await ctx.log(f"with {text}", field=text)
    await ctx.progress(1, 2, text)
    ctx.logger.warning("said %s", text, more=text)
    raise RuntimeError("cannot log in with " + text)


@task("leak-in-child", executor="process")
def leak_in_child(ctx: ProcessTaskContext, text: str):
    raise RuntimeError("cannot log in with " + text)


@task("look", executor="process")
def look(ctx: ProcessTaskContext):
    shown = {name: value for name, value in os.environ.items() if name.startswith("QUART_APP_")}
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    return {"pid": os.getpid(), "environment": shown, "core": limits}


@task("core")
async def core(ctx: TaskContext):
    return resource.getrlimit(resource.RLIMIT_CORE)
"""


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    path = tmp_path / "secret_kinds.py"
    path.write_text(TASKS)
    return path


def run(server: Server, kind: str, args: dict[str, Any], key: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    made = server.client.post(f"/tasks/{kind}", json=args, params={"max_attempts": 1}, headers=headers).json()
    found: dict[str, Any] = server.client.get(made["status_url"], params={"wait": 30}, headers=headers).json()
    found["history"] = server.client.get(f"{made['status_url']}/history", headers=headers).json()
    return found


def test_no_error_and_no_line_shows_one(make_server: MakeServer, kinds: Path) -> None:
    server = make_server(tasks=kinds, api_keys=f"ann:{KEY}", smtp_url=MAIL).start().wait_ready()
    for text in (PASSWORD, MAIL, KEY):
        for kind in ("leak", "leak-in-child"):
            ended = run(server, kind, {"text": text}, KEY)
            assert ended["status"] == "failed"
            assert ended["error"]["message"] == "cannot log in with ***"
            del ended["args"]
            told = json.dumps(ended)
            assert text not in told
            assert "***" in told
    assert server.sigterm() == 0
    assert "said ***" in server.log
    assert [text for text in (PASSWORD, MAIL, KEY) if text in server.log] == []


def test_a_child_has_none_dumps_no_core_and_is_its_owners_alone(make_server: MakeServer, kinds: Path) -> None:
    keys = f"ann:{KEY},bob:{OTHER}"
    server = make_server(tasks=kinds, api_keys=keys, smtp_url=MAIL, key=KEY, cpu_slots=1).start().wait_ready()
    ann, again, bob, back = (run(server, "look", {}, key)["result"] for key in (KEY, KEY, OTHER, KEY))
    assert not {"QUART_APP_API_KEYS", "QUART_APP_SMTP_URL", "QUART_APP_KEY"} & ann["environment"].keys()
    assert ann["environment"]["QUART_APP_TASKS"] == str(kinds), "the rest is there"
    assert ann["core"] == [0, 0]
    assert run(server, "core", {}, KEY)["result"] == [0, 0]
    assert ann["pid"] == again["pid"]
    assert len({ann["pid"], bob["pid"], back["pid"]}) == 3


def test_secrets_come_from_files(make_server: MakeServer, kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"ann:{KEY}\n")
    server = make_server(tasks=kinds, api_keys_file=tmp_path / "keys").start().wait_ready()
    assert server.client.get("/tasks").status_code == 401
    shown = run(server, "look", {}, KEY)
    assert "QUART_APP_API_KEYS_FILE" not in shown["result"]["environment"]
    assert run(server, "leak", {"text": KEY}, KEY)["error"]["message"] == "cannot log in with ***"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"api_keys_file": "nowhere"}, "QUART_APP_API_KEYS_FILE: cannot read 'nowhere': No such file or directory"),
        ({"smtp_url_file": "empty"}, "QUART_APP_SMTP_URL_FILE: 'empty' is empty"),
        ({"smtp_url_file": "bytes"}, "QUART_APP_SMTP_URL_FILE: cannot read 'bytes': it is no text"),
        ({"key_file": "key", "key": KEY}, "QUART_APP_KEY_FILE: QUART_APP_KEY is set as well; unset one of them"),
        ({"api_keys_file": "."}, "QUART_APP_API_KEYS_FILE: cannot read '.': Is a directory"),
    ],
)
def test_a_file_that_gives_none_is_one_line(
    make_server: MakeServer, tmp_path: Path, given: dict[str, str], complaint: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "key").write_text(KEY)
    server = make_server(**given)
    assert server.start().wait_exit() == 78
    assert server.stderr.splitlines() == [f"quart_app: {complaint}"]
