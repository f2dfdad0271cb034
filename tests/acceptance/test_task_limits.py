"""Limits and pauses in the real server: never above a limit in any window, over kill -9 and restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, lines_of, until

TASKS = 24
KILLS = (5, 14)  # after so many starts
AT_ONCE, STARTS, WINDOW = 2, 6, 1_000  # ms
MODULE = f"""
import asyncio
from pathlib import Path

from quart_app import task


def write(line):
    with Path("journal").open("a") as file:
        file.write(line + "\\n")


@task("limited", concurrency={AT_ONCE}, rate_limit="{STARTS}/{WINDOW / 1000:g}")
async def limited(ctx):
    write(f"begin {{ctx.task_id}}")
    await asyncio.sleep(0.05)
    write(f"end {{ctx.task_id}}")


@task("free")
async def free():
    pass
"""


@pytest.fixture
def server(make_server: MakeServer, tmp_path: Path) -> Server:
    (tmp_path / "limited.py").write_text(MODULE)
    return make_server(tasks="limited.py")


def starts(journal: Path) -> int:
    return sum(line[0] == "begin" for line in lines_of(journal))


def most_at_once(journal: Path) -> int:
    """How many of the handlers ran at once, at most. The test writes `killed` where all of them died."""
    running: set[str] = set()
    most = 0
    for what, *task_id in lines_of(journal):
        match what:
            case "begin":
                running.update(task_id)
            case "end":
                running.difference_update(task_id)
            case _:
                running.clear()
        most = max(most, len(running))
    return most


def test_no_kill_brings_a_kind_above_its_limits(server: Server, journal: Path) -> None:
    server.start().wait_ready()
    asked = server.client.post("/tasks", json=[{"kind": "limited"}] * TASKS)
    ids = [one["task_id"] for one in asked.json()["tasks"]]
    for number in KILLS:
        until(lambda least=number: starts(journal) >= least, f"{number} starts")
        server.kill9()
        with journal.open("a") as file:
            file.write("killed\n")
        server.start().wait_ready()
    for task_id in ids:
        assert server.ended(task_id)["status"] == "completed"

    assert most_at_once(journal) <= AT_ONCE
    # When the store let them in: handlers begin at some time after that.
    claimed = [at for (at,) in server.rows("SELECT at FROM events WHERE cause = 'claim' ORDER BY at")]
    assert len(claimed) >= starts(journal) >= TASKS
    widths = [last - first for first, last in zip(claimed, claimed[STARTS:], strict=False)]
    assert min(widths) >= WINDOW - 2, "the clocks of dates and of windows are read one after the other"
    (limit,) = (one for one in server.client.get("/limits").json()["limits"] if one["name"] == "kind:limited")
    assert (limit["running"], limit["waiting"]) == (0, 0)


def test_pauses_and_changes_outlive_a_kill(server: Server, journal: Path) -> None:
    server.start().wait_ready()
    assert server.client.post("/queues/mine/pause").json()["paused"] is True
    assert server.client.post("/kinds/limited/pause").json()["paused"] is True
    assert server.client.patch("/limits/kind:limited", json={"concurrency": 1, "rate": "off"}).status_code == 200
    held = [server.post("limited") for _ in range(6)] + [server.post("free", queue="mine")]
    server.kill9()
    server.start().wait_ready()
    held += [server.post("limited"), server.post("free", queue="mine")]
    assert server.ended(server.post("free"))["status"] == "completed"
    assert {server.task(one)["waiting_for"] for one in held} == {"paused"}
    assert starts(journal) == 0
    assert server.client.post("/kinds/limited/resume").json()["paused"] is False
    assert server.client.post("/queues/mine/resume").json()["paused"] is False
    for task_id in held:
        assert server.ended(task_id)["status"] == "completed"
    assert most_at_once(journal) == 1
