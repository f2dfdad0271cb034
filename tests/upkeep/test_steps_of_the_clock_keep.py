"""What is kept for a time, over steps of the wall clock: nothing is deleted, failed or forgotten because of a time that
lasted for seconds, and everything goes when its time is over by a clock that has been right for a minute."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core import trusted_time
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.service.maintenance import LEFT_BEHIND, Maintenance
from quart_app.service.uploads import UNUSED_MS
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from tests.clock import VirtualClock
from tests.store.kit import Sql, in_status
from tests.upkeep.life import CLIENT_WINDOW, DAY, HOUR, KEYS_KEPT, RETENTION, STEPS, Life, Step

MINUTE = trusted_time.TO_FORGET // 1000 + 2  # seconds: so long a step must last
GLITCH = Step(30 * DAY, lasts=5)
EVERY_STEP = pytest.mark.parametrize("step", STEPS, ids=str)
WHEN = pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])


@pytest.fixture
async def life(store: Store, database: Database, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Life]:
    """`store` looks at the tables when the test is over."""
    life = Life(database, clock, tmp_path)
    await life.live(MINUTE)  # the clock is known to be right
    yield life
    await life.limits.close()


async def keyed(life: Life) -> str:
    options = EnqueueOptions(idempotency_key="k")
    (made,) = await life.service.enqueue([TaskRequest("tick", {}, options)])
    return made.id


async def pieces() -> AsyncIterator[bytes]:
    yield b"x"


async def make(life: Life, what: str) -> None:
    """Something that is kept for an hour, or for a day."""
    now = life.clock.now()
    match what:
        case "an ended task":
            await in_status(life.store, "completed", now)
        case "an ended task of its kind's own retention":
            await in_status(life.store, "completed", now, retention_ms=HOUR * 1000)
        case "a key":
            await keyed(life)
        case "a task that must start in time":
            await life.service.enqueue([TaskRequest("tick", {}, EnqueueOptions(delay=20 * DAY, expires=HOUR))])
        case "a fire":
            await life.schedules.add("s", "", {"kind": "tick", "every_ms": 5_000})
            await life.live(6)
            await life.schedules.delete("s", None)
        case "an upload":
            await life.uploads.receive("", "x", pieces())


COUNTS = {
    "an ended task": (RETENTION, "SELECT count(*) FROM tasks"),
    "an ended task of its kind's own retention": (HOUR, "SELECT count(*) FROM tasks"),
    "a key": (KEYS_KEPT, "SELECT count(*) FROM idempotency_keys"),
    "a task that must start in time": (HOUR, "SELECT count(*) FROM tasks WHERE status = 'pending'"),
    "a fire": (DAY, "SELECT count(*) FROM fires"),
    "an upload": (UNUSED_MS // 1000, "SELECT count(*) FROM uploads"),
}


@WHEN
@EVERY_STEP
@pytest.mark.parametrize("what", COUNTS)
async def test_it_is_there_until_its_time_is_over_and_gone_then(
    life: Life, sql: Sql, what: str, step: Step, down: bool
) -> None:
    kept, count = COUNTS[what]
    await make(life, what)
    await life.endure(step, down)
    assert sql(count) == [(1,)]
    shown = step.seconds if step.lasts is None else step.lasts  # has passed, by the clock
    left = kept - shown  # seconds until it is over by the time that the clock shows
    if left > MINUTE:
        life.clock.advance(left - MINUTE - 10)
        await life.live(MINUTE)
    else:  # it is, but nobody believes it yet
        await life.live(MINUTE - 5)
    assert sql(count) == [(1,)]
    await life.live(MINUTE)
    assert sql(count) == [(0,)]


@WHEN
async def test_a_key_makes_one_task_while_the_clock_is_wrong_for_seconds(life: Life, down: bool) -> None:
    first = await keyed(life)
    await life.turn()
    life.clock.step(GLITCH.seconds)
    if down:
        await life.restart()
    for _ in range(5):
        await life.live(1)
        assert await keyed(life) == first
    life.clock.step(-GLITCH.seconds)
    await life.live(1)
    assert await keyed(life) == first
    life.clock.advance(KEYS_KEPT)
    await life.live(MINUTE)
    assert await keyed(life) != first


@pytest.mark.parametrize("step", [*STEPS, Step(-2 * HOUR, lasts=5)], ids=str)
@WHEN
async def test_beyond_a_number_the_newest_are_not_the_first_to_go(
    store: Store, database: Database, clock: VirtualClock, tmp_path: Path, step: Step, down: bool
) -> None:
    """A clock that was set back dates them as if they were the oldest; whoever waits for them is to see their end."""
    life = Life(database, clock, tmp_path, retention_rows=3)
    await life.live(MINUTE)
    for _ in range(3):
        await in_status(life.store, "completed", clock.now())
        await life.live(1)
    life.clock.step(step.seconds)
    if down:
        await life.restart()
    await life.turn()
    new = [(await in_status(life.store, "completed", clock.now())).id for _ in range(3)]
    for second in range(MINUTE - 5):
        if second == step.lasts:
            clock.step(-step.seconds)
        await life.live(1)
        assert None not in [await life.store.get(task_id) for task_id in new]
    await life.live(MINUTE)
    assert sum(count.n for count in await life.store.counts()) == 3


@WHEN
async def test_temporary_files_stay(life: Life, database: Database, down: bool) -> None:
    young = life.folder / ".young.0123abcd.tmp"
    young.write_text("x")
    os.utime(young, (life.clock.now() / 1000, life.clock.now() / 1000))
    life.clock.step(GLITCH.seconds)
    if down:
        await life.restart()
    await life.turn()
    statistics = SqlStatistics(database)
    maintenance = Maintenance(life.store, statistics, life.pruner, life.uploads._files, life.clock, life.service.trust)
    assert await maintenance.sweep_files() == []
    life.clock.step(-GLITCH.seconds)
    life.clock.advance(LEFT_BEHIND // 1000 + 1)
    await life.live(MINUTE)
    assert await maintenance.sweep_files() == [young.name]


@EVERY_STEP
@WHEN
async def test_a_client_has_no_more_calls_than_its_limit_and_is_not_locked_out(
    life: Life, step: Step, down: bool
) -> None:
    for _ in range(2):
        assert (await life.clients.call("", "ann")).allowed
    await life.endure(step, down)
    # Whatever the clock shows, no time has passed; what it shows for good after a restart counts after a minute.
    assert not (await life.clients.call("", "ann")).allowed
    await life.live(MINUTE - 10)
    assert not (await life.clients.call("", "ann")).allowed
    life.clock.advance(CLIENT_WINDOW)
    await life.live(MINUTE)
    assert (await life.clients.call("", "ann")).allowed


async def test_after_a_downtime_a_client_has_its_calls_again_within_a_minute(life: Life) -> None:
    for _ in range(2):
        await life.clients.call("", "ann")
    life.clock.advance(DAY)
    await life.restart()
    await life.live(MINUTE)
    assert (await life.clients.call("", "ann")).allowed


@EVERY_STEP
@WHEN
async def test_an_outbound_limit_holds(life: Life, step: Step, down: bool) -> None:
    """It counts by the clock that never steps, and over a restart by the one of the two that says less."""
    async with life.limits.limit("them", 1, 1000.0):
        pass
    await life.turn()
    await life.endure(step, down)
    ledger = life.limits._ledger("them", 1, 1000.0)
    await life.live(MINUTE)
    pause = life.limits._pause(ledger)
    assert pause is not None
    assert pause > 1000 - MINUTE - 10
    life.clock.advance(1001 - MINUTE)
    if step.seconds > 0 or not down:
        assert life.limits._pause(ledger) is not None
        assert (life.limits._pause(ledger) or 0) <= 0
    else:  # a clock that was set back while it was down: it waits for a window from the start at most
        assert (life.limits._pause(ledger) or 0) <= MINUTE
