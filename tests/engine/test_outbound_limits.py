"""The durable log of calls to others, on a real store, with time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from quart_app.engine.outbound_limits import OutboundLimits, Permit
from quart_app.store.limits import SqlLimits
from quart_app.store.sqlite.database import Database
from tests.clock import VirtualClock
from tests.engine.engine import until
from tests.store.kit import Bells, Sql, open_database

HOUR = 3600
WINDOW = 60
AFTER = WINDOW * 1.002  # surely over, whatever the drift of clocks that is allowed for


class World:
    """One database, one clock, and lives of the limits one after the other."""

    def __init__(self, database: Database, sql: Sql) -> None:
        self.clock = VirtualClock()
        self.store = SqlLimits(database)
        self.sql = sql
        self._tasks: list[asyncio.Task[None]] = []
        self.made: list[str] = []
        self._answers: dict[str, asyncio.Event] = {}

    async def live(self) -> OutboundLimits:
        self.limits = OutboundLimits(self.store, self.clock)
        await self.limits.load()
        return self.limits

    def call(self, who: str, max_calls: int = 2, name: str = "cats", wait: bool = True) -> asyncio.Task[None]:
        """A task that calls when it may, and is answered by `answer`."""
        self._answers[who] = asyncio.Event()

        async def run() -> None:
            async with self.limits.limit(name, max_calls, WINDOW, wait):
                self.made.append(who)
                await self._answers[who].wait()

        self._tasks.append(asyncio.create_task(run()))
        return self._tasks[-1]

    async def called(self, *who: str) -> None:
        """Exactly these have called, in this order, and nobody else is about to."""
        await until(lambda: len(self.made) >= len(who), f"the calls of {who}")
        await self.settled()
        assert self.made == list(who)

    async def settled(self) -> None:
        """Everybody waits for time, for an answer, or for another one; the store has what there is to write."""
        for _ in range(20):
            await asyncio.sleep(0)
        await until(lambda: self.limits._settling is None, "the last write")

    async def answer(self, *who: str) -> None:
        for one in who:
            self._answers[one].set()
        await self.settled()

    async def die(self) -> None:
        """As kill -9 has it: nothing of this life writes any more."""
        await self.settled()
        self.limits._settle = lambda: None  # type: ignore[method-assign]
        await self.end()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.limits.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await open_database(tmp_path / "tasks.db", Bells())
    world = World(database, Sql(tmp_path / "tasks.db"))
    await world.live()
    yield world
    await world.end()
    await database.close()


async def test_a_call_is_on_record_before_it_is_made_and_dated_by_its_answer(world: World) -> None:
    world.call("a")
    await world.called("a")
    assert world.sql("SELECT name, wall FROM limit_calls") == [("cats", None)]
    at = world.clock.advance(7)
    await world.answer("a")
    assert world.sql("SELECT name, wall FROM limit_calls") == [("cats", at)]


async def test_calls_in_flight_and_calls_in_the_window_count_alike(world: World) -> None:
    for who in "abc":
        world.call(who)
    await world.called("a", "b")
    world.clock.advance(10 * WINDOW)
    await world.called("a", "b")
    await world.answer("a")
    world.clock.advance(WINDOW - 1)
    await world.called("a", "b")
    world.clock.advance(AFTER - WINDOW + 1)
    await world.called("a", "b", "c")


async def test_who_comes_first_calls_first(world: World) -> None:
    for who in "abcdef":
        world.call(who)
    order: list[str] = []
    for pair in ("ab", "cd", "ef"):
        order += pair
        await world.called(*order)
        await world.answer(*pair)
        world.clock.advance(AFTER)


async def test_who_does_not_wait_calls_at_once_and_counts_for_those_who_do(world: World) -> None:
    world.call("a")
    await world.called("a")
    for who in "bcd":
        world.call(who, wait=False)
    await world.called(*"abcd")
    world.call("e")
    await world.answer(*"abcd")
    world.clock.advance(WINDOW)
    await world.called(*"abcd")
    world.clock.advance(AFTER - WINDOW)
    await world.called(*"abcde")


async def test_those_who_do_not_wait_leave_no_more_behind_than_the_limit_needs(world: World) -> None:
    for number in range(10):
        world.call(f"{number}", wait=False)
        world.clock.advance(1)
        await world.called(*map(str, range(number + 1)))
        await world.answer(f"{number}")
    assert world.sql("SELECT count(*) FROM limit_calls") == [(2,)]
    world.call("a")
    world.clock.advance(AFTER - 2)  # the last but one was answered so long ago
    await world.called(*"0123456789")
    world.clock.advance(1)
    await world.called(*"0123456789a")


async def test_two_names_do_not_wait_for_each_other(world: World) -> None:
    world.call("a", 1, "cats")
    world.call("b", 1, "dogs")
    await world.called("a", "b")


async def test_an_error_of_the_call_is_an_answer_too_and_goes_on_to_the_caller(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with world.limits.limit("cats", 1, WINDOW):
            raise ZeroDivisionError
    world.call("a", 1)
    await world.called()
    world.clock.advance(AFTER)
    await world.called("a")


async def test_who_is_cancelled_while_waiting_uses_up_nothing(world: World) -> None:
    for who in "abcd":
        task = world.call(who)
        if who == "c":
            waiting = task
    await world.called("a", "b")
    waiting.cancel()
    await world.answer("a")
    world.clock.advance(AFTER)
    await world.called("a", "b", "d")
    assert world.sql("SELECT count(*) FROM limit_calls WHERE wall IS NULL") == [(2,)]


async def test_who_is_cancelled_while_the_call_is_put_on_record_leaves_no_ghost(world: World) -> None:
    task = world.call("a", 1)
    ledgers = world.limits._ledgers
    while "cats" not in ledgers or not ledgers["cats"].in_flight:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    world.call("b", 1)
    await world.called("b")
    await until(lambda: world.sql("SELECT count(*) FROM limit_calls") == [(1,)], "the ghost to go")


@pytest.mark.parametrize("step", [0, 2 * HOUR])
async def test_the_next_life_knows_what_counts_whatever_the_wall_clock_did(world: World, step: int) -> None:
    world.call("a")
    world.call("b")
    await world.called("a", "b")
    await world.answer("a")
    world.clock.advance(40)
    world.clock.step(step)
    await world.die()

    await world.live()
    world.call("c")
    await world.called("a", "b")
    world.clock.advance(AFTER - 40)
    await world.called("a", "b", "c")
    world.call("d")
    world.clock.advance(30)
    await world.called("a", "b", "c")  # b was in flight at the death: it counts from the start on
    world.clock.advance(AFTER)
    await world.answer("c")
    await world.called("a", "b", "c", "d")


async def test_a_clock_that_was_set_back_proves_no_age_and_calls_count_as_new(world: World) -> None:
    world.call("a", 1)
    await world.called("a")
    await world.answer("a")
    world.clock.advance(40)
    world.clock.step(-2 * HOUR)
    await world.die()
    await world.live()
    world.call("b", 1)
    world.clock.advance(WINDOW)
    await world.called("a")
    world.clock.advance(AFTER - WINDOW)
    await world.called("a", "b")


async def test_a_step_of_the_wall_clock_in_mid_life_changes_nothing(world: World) -> None:
    world.call("a", 1)
    await world.called("a")
    await world.answer("a")
    world.call("b", 1)
    for step in (2 * HOUR, -4 * HOUR):
        world.clock.step(step)
        world.clock.advance(20)
        await world.called("a")
    world.clock.advance(AFTER - 40)
    await world.called("a", "b")


async def test_a_smaller_limit_in_the_next_life_counts_what_there_was(world: World) -> None:
    for who in "abc":
        world.call(who, 3)
    await world.called(*"abc")
    await world.answer(*"abc")
    await world.die()
    await world.live()
    world.call("d", 2)
    await world.called(*"abc")
    world.clock.advance(AFTER)
    await world.called(*"abcd")


Held = Callable[[Permit], Coroutine[Any, Any, None]]


@pytest.mark.parametrize(
    ("after", "seconds"),
    [(5, 5), ("7", 7), (None, WINDOW), ("soon", WINDOW), ("Tue, 14 Nov 2023 22:13:50 GMT", 30), ("99999999", HOUR)],
)
async def test_a_hold_keeps_everybody_away_over_a_restart_too(
    world: World, after: float | str | None, seconds: float
) -> None:
    async with world.limits.limit("cats", 10, WINDOW) as limit:
        await limit.hold(after)
        await limit.hold(0.5)  # never shortens
    await world.die()
    await world.live()
    world.call("a", 10)
    world.clock.advance(seconds - 0.5)
    await world.called()
    world.clock.advance(0.6)
    await world.called("a")


async def test_a_hold_of_no_sense_is_refused(world: World) -> None:
    async with world.limits.limit("cats", 10, WINDOW) as limit:
        for after in (-1, float("nan")):
            with pytest.raises(ValueError, match="hold takes seconds"):
                await limit.hold(after)
        await limit.hold(0)
    assert world.sql("SELECT count(*) FROM limit_holds") == [(0,)]


async def test_what_counts_no_more_is_forgotten_in_the_store_and_in_memory(world: World) -> None:
    for number in range(30):
        async with world.limits.limit(f"name-{number % 3}", 100, WINDOW) as limit:
            if number == 29:
                await limit.hold(5)
    await world.settled()
    assert world.sql("SELECT count(*) FROM limit_calls") == [(30,)]
    await world.limits.run_once(0)
    assert len(world.limits._ledgers) == 3
    world.clock.advance(AFTER)
    await world.limits.run_once(0)
    await world.settled()
    assert world.sql("SELECT count(*) FROM limit_calls") == [(0,)]
    assert world.sql("SELECT count(*) FROM limit_holds") == [(0,)]
    assert world.limits._ledgers == {}


async def test_what_is_too_old_at_the_start_is_forgotten(world: World) -> None:
    async with world.limits.limit("cats", 1, WINDOW) as limit:
        await limit.hold(1)
    await world.die()
    world.clock.advance(AFTER)
    await world.live()
    await world.limits.run_once(0)
    await world.settled()
    assert world.sql("SELECT count(*) FROM limit_calls") == [(0,)]
    assert world.sql("SELECT count(*) FROM limit_holds") == [(0,)]
    assert world.limits._ledgers == {}


async def test_one_name_has_one_limit_while_calls_of_it_count(world: World) -> None:
    async with world.limits.limit("cats", 1, WINDOW):
        pass
    with pytest.raises(ValueError, match="'cats' is 1 calls in 60 s, and was asked for with 2 in 60 s"):
        await world.limits.limit("cats", 2, WINDOW).__aenter__()
    world.clock.advance(AFTER)
    await world.limits.run_once(0)
    async with world.limits.limit("cats", 2, WINDOW):
        pass


@pytest.mark.parametrize(
    ("name", "max_calls", "window"),
    [
        ("", 1, 1),
        ("x" * 101, 1, 1),
        ("a\x00b", 1, 1),
        (7, 1, 1),
        ("x", 0, 1),
        ("x", 1.5, 1),
        ("x", 100_001, 1),
        ("x", 1, 0),
        ("x", 1, -1),
        ("x", 1, float("nan")),
        ("x", 1, float("inf")),
    ],
)
async def test_what_is_no_limit_is_refused(world: World, name: Any, max_calls: Any, window: float) -> None:
    with contextlib.suppress(StopAsyncIteration), pytest.raises(ValueError, match="limit"):
        await world.limits.limit(name, max_calls, window).__aenter__()
    assert world.limits._ledgers == {}
