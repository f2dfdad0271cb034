"""Going back on a real server that is killed right after it has said yes; and from the command line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from quart_app.store.audit import audit
from tests.acceptance.conftest import Command
from tests.acceptance.harness import Server, lines_of, until
from tests.acceptance.test_cli import good

RESULT = [1, 4, 9, 16, 25, 36]


def cancelled(server: Server, journal: Path, flag: Path) -> str:
    """The id of a task that was cancelled after its third step of six."""
    task_id: str = server.post("gated", {"path": str(journal), "flag": str(flag)})
    until(partial(_recorded, server, 3), "three steps")
    server.client.post(f"/tasks/{task_id}/cancel")
    assert server.ended(task_id)["status"] == "cancelled"
    return task_id


def _recorded(server: Server, n: int) -> bool:
    return server.rows("SELECT count(*) FROM steps") == [(n,)]


def test_a_fork_goes_on_after_a_kill_right_after_its_answer(server: Server, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = cancelled(server, journal, flag)
    flag.touch()
    second = journal.with_name("second")
    body = {"from": "s3", "args": {"path": str(second), "flag": str(flag)}}
    made = server.client.post(f"/tasks/{task_id}/fork", json=body)
    server.kill9()
    assert made.status_code == 202
    fork_id = made.json()["task_id"]

    server.start().wait_ready()
    fork = server.ended(fork_id)
    assert (fork["status"], fork["result"], fork["forked_from"]) == ("completed", RESULT, task_id)
    ran = [int(number) for _, _, number in lines_of(second)]
    assert set(ran) == {3, 4, 5, 6}
    assert len(ran) <= 4 + 1, "the one in progress at the kill"
    assert [int(number) for _, _, number in lines_of(journal)] == [1, 2, 3]
    assert server.task(task_id)["status"] == "cancelled"
    server.sigterm()
    assert audit(server.database).findings == []


def test_a_retry_from_a_step_goes_on_after_a_kill_right_after_its_answer(
    server: Server, journal: Path, flag: Path
) -> None:
    server.start().wait_ready()
    task_id = cancelled(server, journal, flag)
    flag.touch()
    answer = server.client.post(f"/tasks/{task_id}/retry", params={"from": "s2"})
    server.kill9()
    assert answer.status_code == 202

    server.start().wait_ready()
    done = server.ended(task_id)
    assert (done["status"], done["result"]) == ("completed", RESULT)
    ran = [int(number) for _, _, number in lines_of(journal)]
    assert ran[:4] == [1, 2, 3, 2]
    assert set(ran[3:]) == {2, 3, 4, 5, 6}
    history = server.client.get(f"/tasks/{task_id}/history").json()
    assert [one["message"] for one in history["logs"]] == ["forgotten from step s2"]
    server.sigterm()
    assert audit(server.database).findings == []


def test_the_command_line_goes_back(server: Server, command: Command, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    task_id = cancelled(server, journal, flag)
    flag.touch()
    assert command("tasks", "retry", task_id, "--from", "s9").returncode == 1
    assert command("tasks", "retry", task_id, "--from", "s1", "--restart").returncode == 2
    assert good(command("tasks", "retry", task_id, "--from", "s3")) == "will run again\n"
    assert server.ended(task_id)["result"] == RESULT
    assert [int(number) for _, _, number in lines_of(journal)] == [1, 2, 3, 3, 4, 5, 6]

    fork_id = good(command("tasks", "fork", task_id)).strip()
    assert server.ended(fork_id)["forked_from"] == task_id
    assert len(lines_of(journal)) == 7, "all was recorded"
    args = json.dumps({"path": str(journal), "flag": str(flag)})
    other = json.loads(good(command("tasks", "fork", fork_id, "--from", "s6", "--args", "-", "--json", stdin=args)))
    assert server.ended(other["task_id"])["forked_from"] == fork_id
    assert len(lines_of(journal)) == 8
    assert command("tasks", "fork", fork_id, "--args", "{").returncode == 1
    assert command("tasks", "fork", fork_id, "--args", '{"x": 1}').returncode == 1
