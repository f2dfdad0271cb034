"""A real server whose wall clock is set, while it runs and while it is down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until
from tests.acceptance.wall import Wall

HOUR = 3600
DAY = 24 * HOUR
KIND = """
from quart_app import Retry, TaskContext, task

@task("again", max_attempts=2)
async def again(ctx: TaskContext) -> int:
    if ctx.attempt == 1:
        raise Retry(after=3)
    return ctx.attempt

@task("naps")
async def naps(ctx: TaskContext, signal: bool) -> None:
    if not signal:
        return await ctx.sleep(4)
    try:
        await ctx.wait_signal("never", timeout=4)
    except TimeoutError:
        pass

@task("brief", retention=86400)
async def brief() -> None: ...
"""
PATIENT = Path(__file__).with_name("patient.py")
WHEN = pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    made = make_server(schedules=1)
    kinds = made.folder / "again.py"
    kinds.write_text(KIND)
    made.environment["QUART_APP_TASKS"] += f",{kinds},{PATIENT}"
    return made


def set_clock(server: Server, wall: Wall, seconds: int, down: bool) -> None:
    if down:
        server.kill9()
    wall.ahead(seconds)
    if down:
        server.start().wait_ready()


def in_retry(server: Server) -> str:
    """A task that waits for its second attempt, for three seconds."""
    task_id = server.post("again")
    until(lambda: server.rows("SELECT 1 FROM tasks WHERE id = ? AND cause = 'retry'", task_id), "its first attempt")
    return task_id


@WHEN
def test_a_clock_that_is_set_back_lets_nobody_wait_for_it(server: Server, down: bool) -> None:
    wall = Wall(server)
    wall.ahead(0)
    server.start().wait_ready()
    answer = server.client.post("/schedules", json={"name": "each", "kind": "quick", "every": 2, "overlap": "queue"})
    assert answer.status_code == 201
    asleep = [server.post("naps", {"signal": signal}) for signal in (False, True)]
    suspended = "SELECT count(*) FROM tasks WHERE cause = 'suspend'"
    until(lambda: server.rows(suspended) == [(2,)], "both to wait")
    retried, delayed = in_retry(server), server.post("quick", delay=5)
    set_clock(server, wall, -2 * HOUR, down)
    assert server.ended(retried)["result"] == 2
    assert [server.ended(one)["status"] for one in (delayed, *asleep)] == ["completed"] * 3
    assert server.client.get("/status").json()["uptime_seconds"] >= 0
    fires = "SELECT count(*) FROM fires WHERE schedule = 'each'"  # those that are built in fire each five minutes
    ((before,),) = server.rows(fires)
    until(lambda: server.rows(fires)[0][0] >= before + 3, "the schedule to go on")
    # In one statement, because it goes on firing.
    made = "SELECT count(DISTINCT id) FROM tasks WHERE tags LIKE '%schedule:each%'"
    ((fired, tasks, found),) = server.rows(
        f"SELECT count(*), count(DISTINCT task_id), ({made}) FROM fires WHERE schedule = 'each'"
    )
    assert fired == tasks == found


@WHEN
def test_nothing_is_deleted_or_started_by_a_clock_that_was_wrong_for_seconds(server: Server, down: bool) -> None:
    wall = Wall(server)
    wall.ahead(0)
    server.start().wait_ready()
    key = {"Idempotency-Key": "once"}

    def keyed() -> str:
        answer = server.client.post("/tasks/quick", json={}, headers=key)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["task_id"])

    for name, cron in (("yearly", "0 0 1 1 *"), ("monthly", "0 0 1 * *")):
        answer = server.client.post(
            "/schedules", json={"name": name, "kind": "quick", "cron": cron, "overlap": "queue", "catch_up": "all"}
        )
        assert answer.status_code == 201
    planned = server.rows("SELECT name, next_at FROM schedules WHERE name IN ('monthly', 'yearly') ORDER BY name")
    ended, kept = keyed(), server.post("brief")
    server.ended(ended)
    server.ended(kept)
    later = server.post("quick", delay=10 * DAY)

    set_clock(server, wall, 400 * DAY, down)
    cleaned = server.post("cleanup")
    assert server.ended(cleaned)["result"]["rows"] == 0
    retried = in_retry(server)
    assert keyed() == ended

    wall.ahead(0)
    assert server.ended(retried)["result"] == 2
    assert keyed() == ended
    for task_id in (ended, kept, cleaned):
        assert server.task(task_id)["status"] == "completed"
    assert server.task(later)["status"] == "pending"
    shown = "SELECT name, next_at FROM schedules WHERE name IN ('monthly', 'yearly') ORDER BY name"
    assert server.rows(shown) == planned
    assert server.rows("SELECT count(*) FROM tags WHERE tag IN ('schedule:monthly', 'schedule:yearly')") == [(0,)]
    # What was made meanwhile is dated ahead; the log of the database says that nothing is wrong with it.
    assert server.command("audit").returncode == 0
