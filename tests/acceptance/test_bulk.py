"""A bulk task of thousands: killed again and again in the middle, and from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.conftest import Command
from tests.acceptance.harness import Server, until
from tests.acceptance.test_cli import good, one_line
from tests.acceptance.test_kill_loop import findings

MANY = 5000
KILLS = 4


def fill(server: Server, number: int, **options: Any) -> None:
    for done in range(0, number, 1000):
        batch = [{"kind": "quick", "args": {"x": 1}, "delay": 9999, **options}] * min(1000, number - done)
        assert server.client.post("/tasks", json=batch).status_code == 202


@pytest.mark.parametrize("action", ["cancel", "delete", "retry"])
def test_a_bulk_task_that_is_killed_goes_on_and_does_nothing_twice(server: Server, action: str) -> None:
    server.start().wait_ready()
    fill(server, MANY)
    fill(server, 10, queue="spared")
    counted = "SELECT count(*) FROM tasks WHERE kind = 'quick' AND queue = 'default' AND {}"
    undone = counted.format("status = 'pending'")
    if action != "cancel":
        _do(server, "cancel", {"queue": "default"})
        undone = counted.format("status = 'cancelled'")
    asked = {"action": action, "filter": {"queue": "default"}}
    task_id = server.client.post("/bulk", json=asked).json()["task_id"]
    ((left,),) = server.rows(undone)
    assert left > 0
    for _ in range(KILLS):
        ((before,),) = server.rows(undone)
        until(lambda before=before: server.rows(undone)[0][0] < before or before == 0, "a piece")
        server.kill9()
        ((left,),) = server.rows(undone)
        assert findings(server) == []
        server.start().wait_ready()
    ended = _end(server, task_id)
    assert ended["result"] == {"matching": MANY, "done": MANY, "skipped": 0}
    assert ended["crashes"] == 0
    assert server.rows("SELECT count(*) FROM events WHERE cause = 'crash'")[0][0] > 0, "it was hit"
    if action == "cancel":
        assert server.rows(counted.format("status = 'cancelled'")) == [(MANY,)]
    elif action == "delete":
        assert server.rows("SELECT count(*) FROM tasks WHERE kind = 'quick'") == [(10,)]
    if action != "delete":
        cause = "cancel" if action == "cancel" else "rerun"
        once = "SELECT count(*), max(n) FROM (SELECT count(*) n FROM events WHERE cause = ? GROUP BY task)"
        assert server.rows(once, cause) == [(MANY, 1)]
    assert server.rows("SELECT count(*) FROM tasks WHERE queue = 'spared' AND status = 'pending'") == [(10,)]
    assert findings(server) == []


def _do(server: Server, action: str, chosen: dict[str, str]) -> None:
    made = server.client.post("/bulk", json={"action": action, "filter": chosen})
    assert _end(server, made.json()["task_id"])["status"] == "completed"


def _end(server: Server, task_id: str) -> Any:
    return until(
        lambda: (
            (task := server.client.get(f"/tasks/{task_id}?wait=30").json())["status"]
            in ("completed", "failed", "cancelled")
            and task
        ),
        "the end of the bulk task",
        deadline=60,
    )


def test_the_commands_count_ask_act_and_wait(server: Server, command: Command) -> None:
    server.start().wait_ready()
    fill(server, 7, tags=["old"])
    fill(server, 2)
    assert good(command("bulk", "cancel", "--tag", "old", "--dry-run")) == "7 tasks\n"
    assert json.loads(good(command("bulk", "cancel", "--kind", "quick", "--dry-run", "--json"))) == {"matching": 9}
    asked = command("bulk", "cancel", "--tag", "old")
    assert (asked.returncode, one_line(asked)) == (1, "this would cancel 7 tasks; --yes does it")
    empty = command("bulk", "cancel", "--yes")
    assert empty.returncode == 1
    assert "/filter" in one_line(empty)
    assert server.rows("SELECT count(*) FROM tasks WHERE status = 'pending'") == [(9,)]
    done = good(command("bulk", "cancel", "--tag", "old", "--yes", "--reason", "spring", "--wait")).splitlines()
    assert done[1:] == ['completed: {"matching": 7, "done": 7, "skipped": 0}']
    assert server.rows("SELECT detail FROM audit_log WHERE act = 'task.bulk'") == [("cancel tag=old: spring",)]
    document = json.loads(good(command("bulk", "delete", "--status", "cancelled", "--yes", "--wait", "--json")))
    assert (document["kind"], document["result"]["done"]) == ("bulk", 7)
    made = good(command("bulk", "cancel", "--created-after", "2000-01-01T00:00:00Z", "--yes")).strip()
    assert _end(server, made)["result"]["matching"] == 2


def test_the_commands_list_errors_and_retry_a_group(server: Server, command: Command) -> None:
    server.start().wait_ready()
    ids = [server.client.post("/tasks/exits-inside", json={"how": "gather"}).json()["task_id"] for _ in range(2)]
    for task_id in ids:
        _end(server, task_id)
    (group,) = json.loads(good(command("errors", "--json")))["errors"]
    assert group["count"] == 2
    table = good(command("errors", "list", "--limit", "1"))
    for words in (group["fingerprint"], group["kind"], group["type"], group["place"], "2"):
        assert words in table
    listed = json.loads(good(command("tasks", "list", "--error", group["fingerprint"], "--json")))
    assert [task["task_id"] for task in listed["tasks"]] == ids[::-1]
    done = good(command("errors", "retry", group["fingerprint"], "--wait")).splitlines()
    assert done[1:] == ['completed: {"matching": 2, "done": 2, "skipped": 0}']
    refused = command("errors", "retry", "0123456789abcdef")
    assert (refused.returncode, one_line(refused)) == (1, "Error not found")


def test_without_a_server_a_bulk_task_waits_for_the_next_one(server: Server, command: Command) -> None:
    server.start().wait_ready()
    fill(server, 3)
    server.sigterm()
    assert good(command("bulk", "cancel", "--kind", "quick", "--dry-run")) == "3 tasks\n"
    assert command("bulk", "cancel", "--kind", "quick", "--yes", "--wait").returncode == 69
    made = good(command("bulk", "cancel", "--kind", "quick", "--yes")).strip()
    server.start().wait_ready()
    assert _end(server, made)["result"] == {"matching": 3, "done": 3, "skipped": 0}
