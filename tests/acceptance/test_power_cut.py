"""The power goes at any instant: what was answered is still there when it comes back, as long as the disk honours
fsync."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import DEADLINE, Server, until
from tests.acceptance.power import Disk, Event, Promises, events_of, start_traced

pytestmark = pytest.mark.once


CUTS = 100
IN_CHECKPOINTS = 20  # of them
ONE_BY_ONE = 20
TOGETHER = 150
AT_ONCE = 12


async def load(server: Server, journal: Path) -> None:
    """Tasks with and without steps, one by one and side by side; every other request waits for the end."""
    steps = {"path": str(journal), "count": 3, "pause": 0}
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE, trust_env=False) as client:

        async def post(number: int) -> None:
            kind, args = ("steps", steps) if number % 3 else ("quick", {"x": "y" * (number * 37 % 3000)})
            headers = {"Prefer": "wait=30"} if number % 2 else {}
            async with gate:
                answer = await client.post(f"/tasks/{kind}", json=args, headers=headers)
                assert answer.status_code in (200, 202), answer.text

        for number in range(ONE_BY_ONE):
            await post(number)
        await asyncio.gather(*(post(number) for number in range(TOGETHER)))


def trace_of(server: Server, journal: Path) -> list[Event]:
    trace = server.folder / "trace"
    start_traced(server, trace)
    asyncio.run(load(server, journal))
    server.sigterm()
    return events_of(server, trace)


def cut_all_over(events: list[Event], server: Server, journal: Path, random: Random) -> list[tuple[Path, list[str]]]:
    """The folder after each cut, and the promises broken there."""
    checkpoints = [position for position, event in enumerate(events) if event.path == str(server.database)]
    positions = set(random.sample(checkpoints, IN_CHECKPOINTS))
    while len(positions) < CUTS:
        positions.add(random.randrange(len(events)))
    disk, promises = Disk(server.data), Promises(journal)
    found = []
    for position, event in enumerate(events):
        if position in positions:
            folder = server.folder / f"cut-{position}"
            disk.cut(random, folder)
            found.append((folder, promises.broken_by(folder)))
        disk.apply(event)
        promises.hear(event)
    assert wal_starts(events, server) > 1, "the WAL is written over at least once"
    assert len(promises.statuses) == ONE_BY_ONE + TOGETHER, "the trace holds every answer"
    assert "completed" in promises.statuses.values()
    assert len(promises.steps) > TOGETHER / 2
    return found


def wal_starts(events: list[Event], server: Server) -> int:
    return sum(event.do == "write" and event.at == 0 and event.path == f"{server.database}-wal" for event in events)


def seeded() -> Random:
    seed = Random().randrange(10**6)
    print(f"seed of the cuts: {seed}")
    return Random(seed)


def test_nothing_that_was_answered_is_lost_at_a_power_cut(make_server: MakeServer, journal: Path) -> None:
    random = seeded()
    server = make_server()
    found = cut_all_over(trace_of(server, journal), server, journal, random)
    assert {folder.name: lost for folder, lost in found if lost} == {}

    unfinished = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')"
    later = [folder for folder, _ in found if (folder / "tasks.db-wal").exists()]
    for folder in (later[len(later) // 2], later[-1]):
        again = make_server(data_dir=folder)
        again.database = folder / "tasks.db"
        again.start().wait_ready()
        until(lambda again=again: again.rows(unfinished) == [(0,)], "the end of every task")
        assert again.rows("SELECT DISTINCT status FROM tasks") == [("completed",)]
        assert again.sigterm() == 0


def test_the_cuts_would_show_a_server_that_answers_before_the_disk_has_it(
    make_server: MakeServer, journal: Path
) -> None:
    random = seeded()
    server = make_server(synchronous="NORMAL")
    found = cut_all_over(trace_of(server, journal), server, journal, random)
    assert sum(bool(lost) for _, lost in found) >= CUTS / 5
