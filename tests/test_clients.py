"""ClientLimit on a real store, with time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.service import client_limits
from quart_app.service.client_limits import ClientLimit
from quart_app.store.limits import SqlLimits
from tests.clock import VirtualClock
from tests.store.kit import Bells, Sql, open_database

HOUR = 3600


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlLimits]:
    database = await open_database(tmp_path / "tasks.db", Bells())
    yield SqlLimits(database)
    await database.close()


@pytest.fixture
def sql(tmp_path: Path) -> Sql:
    return Sql(tmp_path / "tasks.db")


async def life(store: SqlLimits, clock: VirtualClock, max_calls: int = 2, window: int = HOUR) -> ClientLimit:
    limit = ClientLimit(store, clock, max_calls, window)
    await limit.load()
    return limit


async def test_the_window_slides(store: SqlLimits, clock: VirtualClock) -> None:
    limit = await life(store, clock)
    assert await limit.call("", "ann") == (True, 1, 3600.0)
    clock.advance(1000)
    assert await limit.call("", "ann") == (True, 0, 2600.0)
    assert await limit.call("", "ann") == (False, 0, 2600.0)
    clock.advance(2599.999)
    assert not (await limit.call("", "ann")).allowed
    clock.advance(0.001)
    assert await limit.call("", "ann") == (True, 0, 1000.0)
    assert not (await limit.call("", "ann")).allowed
    clock.advance(2 * HOUR)
    assert await limit.look("", "ann") == (True, 2, None)


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_step_of_the_wall_clock_changes_nothing(store: SqlLimits, clock: VirtualClock, hours: int) -> None:
    limit = await life(store, clock)
    for _ in range(2):
        await limit.call("", "ann")
    clock.step(hours * HOUR)
    clock.advance(HOUR - 1)
    assert not (await limit.call("", "ann")).allowed
    clock.advance(1)
    assert (await limit.call("", "ann")).allowed


async def test_who_hangs_up_has_called_all_the_same(store: SqlLimits, clock: VirtualClock) -> None:
    limit = await life(store, clock, max_calls=1)
    hasty = asyncio.create_task(limit.call("", "ann"))
    while not limit._turns:  # noqa: ASYNC110
        await asyncio.sleep(0)
    hasty.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await hasty
    assert hasty.cancelled()
    assert not (await limit.call("", "ann")).allowed


async def test_a_clock_that_was_set_back_before_a_restart_locks_nobody_out(
    store: SqlLimits, clock: VirtualClock
) -> None:
    limit = await life(store, clock)
    for _ in range(2):
        await limit.call("", "ann")
    clock.step(-2 * HOUR)
    limit = await life(store, clock)
    assert await limit.call("", "ann") == (False, 0, 3600.0)
    clock.advance(HOUR)
    assert (await limit.call("", "ann")).allowed


async def test_a_smaller_limit_than_before_counts_what_there_was(store: SqlLimits, clock: VirtualClock) -> None:
    limit = await life(store, clock, max_calls=4)
    for _ in range(4):
        await limit.call("", "ann")
        clock.advance(60)
    limit = await life(store, clock, max_calls=1)
    standing = await limit.call("", "ann")
    assert standing == (False, 0, 3540.0)
    clock.advance(3540)
    assert (await limit.call("", "ann")).allowed


async def test_silent_clients_are_forgotten_in_small_bites(
    store: SqlLimits, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_limits, "CHUNK", 2)
    limit = await life(store, clock)
    for client in ("ann", "bob", "cat"):
        await limit.call("", client)
    clock.advance(HOUR - 1)
    await limit.call("shop", "dan")
    assert await limit.run_once(0) is None
    clock.advance(1)
    assert [await limit.run_once(0) for _ in range(3)] == [client_limits.PAUSE, client_limits.PAUSE, None]
    assert sql("SELECT owner, client FROM client_calls") == [("shop", "dan")]


async def test_past_the_bound_the_longest_silent_client_of_the_same_owner_is_forgotten(
    store: SqlLimits, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_limits, "MAX_CLIENTS", 3)
    limit = await life(store, clock)
    await limit.call("shop", "old")
    for client in ("ann", "bob", "cat", "ann", "dan"):
        clock.advance(1)
        await limit.call("", client)
    known = "SELECT owner, client FROM client_calls ORDER BY last"
    assert sql(known) == [("shop", "old"), ("", "cat"), ("", "ann"), ("", "dan")]
    limit = await life(store, clock)  # the count of clients is that of the store
    clock.advance(1)
    await limit.call("", "eve")
    assert sql(known) == [("shop", "old"), ("", "ann"), ("", "dan"), ("", "eve")]


async def test_many_different_clients_take_no_memory(store: SqlLimits, clock: VirtualClock, sql: Sql) -> None:
    limit = await life(store, clock)
    await limit.call("", "first")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000):
            await limit.call("", f"user-{number}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000  # bytes: for 100,000 clients that would be 10 MB
    assert len(limit._turns) == 0
