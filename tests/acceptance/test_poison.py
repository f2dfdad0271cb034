"""A task that kills its server each time is found out and ended; the innocent ones complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, lines_of, until

MAX_CRASHES = 4


def keep_alive(server: Server, task_id: str, deaths: list[int], healthy: list[str]) -> dict[str, Any]:
    """What a supervisor does: start it again until the task has ended. A healthy task is posted in each life."""
    for _ in range(3 * MAX_CRASHES):
        if len(deaths) == server.lives:  # it may have died before this began
            server.start()
        try:
            server.wait_ready()
            healthy.append(server.post("quick", {"x": len(healthy)}))
            while True:
                task: dict[str, Any] = server.client.get(f"/tasks/{task_id}", params={"wait": "5"}).json()
                if task["status"] == "failed":
                    return task
        except httpx.TransportError:
            pass  # it died while it was asked
        except AssertionError:
            if server.running:
                raise
        deaths.append(server.wait_exit())
    raise AssertionError(f"not found out after {len(deaths)} deaths")


@pytest.mark.parametrize(("how", "code"), [("exit", 9), ("segfault", -11)])
def test_a_task_that_kills_its_server_ends_poisoned_and_the_others_complete(
    make_server: MakeServer, journal: Path, how: str, code: int
) -> None:
    server = make_server(max_crashes=MAX_CRASHES)
    server.start().wait_ready()
    bodies = [{"kind": "innocent", "args": {"path": str(journal), "number": number}} for number in range(4)]
    bodies.insert(2, {"kind": "poison", "args": {"path": str(journal), "how": how}})
    answer = server.client.post("/tasks", json=bodies)
    assert answer.status_code == 202, answer.text
    ids = [task["task_id"] for task in answer.json()["tasks"]]
    poison = ids.pop(2)
    deaths: list[int] = []
    healthy: list[str] = []
    task = keep_alive(server, poison, deaths, healthy)

    assert deaths == [code] * MAX_CRASHES
    assert (task["status"], task["crashes"], task["attempt"]) == ("failed", MAX_CRASHES, 1)
    assert (task["error"]["type"], task["error"]["retryable"]) == ("poisoned", False)
    assert str(MAX_CRASHES) in task["error"]["message"]
    assert [words for words in lines_of(journal) if words[0] == "poison"] == [["poison", "1"]] * MAX_CRASHES
    for number, task_id in enumerate(ids):
        done = server.ended(task_id)
        assert (done["status"], done["result"], done["attempt"], done["crashes"]) == ("completed", number, 1, 0)
    assert healthy
    for task_id in healthy:
        assert server.ended(task_id)["status"] == "completed"
    assert server.client.get("/health").status_code == 200


def test_half_of_the_slots_are_for_suspects_and_the_others_for_healthy_tasks(
    make_server: MakeServer, journal: Path, flag: Path
) -> None:
    server = make_server(concurrency=4)
    server.start().wait_ready()
    bodies = [{"kind": "sleeper", "args": {"path": str(journal), "flag": str(flag)}} for _ in range(3)]
    ids = [task["task_id"] for task in server.client.post("/tasks", json=bodies).json()["tasks"]]
    for _ in range(2):
        until_running(server, 3)
        server.kill9()
        server.start().wait_ready()
    # Two kills while they ran: suspects by now. They never record a step, so the kills stay on their account.
    until_running(server, 2)
    for number in range(20):
        assert server.ended(server.post("quick", {"x": number}))["status"] == "completed"
    assert server.rows("SELECT count(*) FROM tasks WHERE status = 'processing'") == [(2,)]
    flag.touch()
    for task_id in ids:
        done = server.ended(task_id)
        assert (done["status"], done["attempt"], done["crashes"]) == ("completed", 1, 0)


def test_two_kills_do_not_make_a_queue_of_all_that_ran(make_server: MakeServer, journal: Path, flag: Path) -> None:
    server = make_server()
    server.start().wait_ready()
    bodies = [{"kind": "sleeper", "args": {"path": str(journal), "flag": str(flag)}} for _ in range(20)]
    ids = [task["task_id"] for task in server.client.post("/tasks", json=bodies).json()["tasks"]]
    for _ in range(2):
        until_running(server, 20)
        server.kill9()
        server.start().wait_ready()
    until_running(server, 20)
    flag.touch()
    for task_id in ids:
        assert server.ended(task_id)["status"] == "completed"
    assert server.rows("SELECT count(*) FROM crash_groups") == [(40,)]
    server.kill9()
    server.start().wait_ready()
    assert server.rows("SELECT count(*) FROM crash_groups") == [(0,)], "all of them are proved innocent"


def until_running(server: Server, count: int) -> None:
    query = "SELECT count(*) FROM tasks WHERE status = 'processing'"
    until(lambda: server.rows(query) == [(count,)], f"{count} running tasks")
