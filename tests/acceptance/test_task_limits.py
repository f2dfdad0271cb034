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


@task("gated")
async def gated(gate: str):
    while not Path(gate).exists():
        await asyncio.sleep(0.005)
"""
SLOTS = 4
ANN, BOB = ({"Authorization": f"Bearer {name}-opens-sesame"} for name in ("ann", "bob"))


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


# --- turns of owners


@pytest.fixture
def owned(make_server: MakeServer, server: Server) -> Server:
    keys = "ann:ann-opens-sesame,bob:bob-opens-sesame"
    return make_server(tasks="limited.py", concurrency=SLOTS, api_keys=keys).start().wait_ready()


def made(server: Server, owner: dict[str, str], *tasks: dict[str, object]) -> list[str]:
    asked = server.client.post("/tasks", json=tasks, headers=owner)
    assert asked.status_code == 202, asked.text
    return [one["task_id"] for one in asked.json()["tasks"]]


def order(server: Server) -> list[str]:
    """The tasks in the order in which they were claimed."""
    claims = "SELECT t.id FROM events e JOIN tasks t ON t.seq = e.task WHERE e.cause = 'claim' ORDER BY e.seq"
    return [task_id for (task_id,) in server.rows(claims)]


def test_a_single_task_does_not_wait_for_the_hundreds_of_another_owner(owned: Server) -> None:
    assert owned.command("queues", "pause", "default").returncode == 0
    anns = made(owned, ANN, *[{"kind": "free"}] * 300)
    (bobs,) = made(owned, BOB, {"kind": "free"})
    assert owned.command("queues", "resume", "default").returncode == 0
    until(lambda: len(order(owned)) == 301, "all have run")
    assert order(owned).index(bobs) < SLOTS  # it was among those of the first claim
    assert set(order(owned)) == {*anns, bobs}


def test_who_holds_every_slot_gives_the_next_one_to_another_owner(owned: Server) -> None:
    gates = [f"gate-{number}" for number in range(SLOTS)]
    long = made(owned, ANN, *({"kind": "gated", "args": {"gate": gate}} for gate in gates))
    until(lambda: set(order(owned)) == set(long), "every slot is taken")
    made(owned, ANN, *[{"kind": "free"}] * 300)
    bobs = made(owned, BOB, *[{"kind": "free"}] * 2)
    (owned.folder / gates[0]).touch()
    until(lambda: len(order(owned)) == SLOTS + 302, "all that are short have run")
    assert set(order(owned)[SLOTS : SLOTS + 2]) == set(bobs)
    for gate in gates[1:]:
        (owned.folder / gate).touch()
