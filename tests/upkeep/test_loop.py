"""The timer of all services: errors cost a turn, a bell ends the wait, stopping stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from quart_app.core.errors import StoreClosed, StoreUnavailable
from quart_app.engine.upkeep.loop import Loop
from tests.clock import START, VirtualClock

FOREVER = 10_000.0


class Turns:
    """A service that notes its turns and does what it is told in each; `wait_for` is how a test follows it."""

    def __init__(self, act: Callable[[int], float | None] = lambda turn: None) -> None:
        self.at: list[int] = []
        self._act = act
        self._turned = asyncio.Condition()

    async def run_once(self, now: int) -> float | None:
        async with self._turned:
            self.at.append(now)
            self._turned.notify_all()
        return self._act(len(self.at))

    async def wait_for(self, number: int) -> None:
        async with self._turned:
            await asyncio.wait_for(self._turned.wait_for(lambda: len(self.at) >= number), timeout=20)


async def test_the_first_turn_is_at_once_and_gets_the_time() -> None:
    turns = Turns()
    loop = Loop("test", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    await turns.wait_for(1)
    await loop.stop()
    assert turns.at == [START]


async def test_a_turn_that_asks_for_the_next_at_once_gets_it() -> None:
    turns = Turns(lambda turn: 0.0 if turn < 5 else FOREVER)
    loop = Loop("test", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    await turns.wait_for(5)
    await loop.stop()
    assert len(turns.at) == 5


async def test_the_interval_is_for_turns_that_ask_for_nothing() -> None:
    turns = Turns()
    loop = Loop("test", turns.run_once, VirtualClock(), 0.0)
    loop.start()
    await turns.wait_for(5)
    await loop.stop()


async def test_a_bell_ends_the_wait() -> None:
    turns = Turns()
    loop = Loop("test", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    for number in range(1, 5):
        await turns.wait_for(number)
        loop.notify()
    await turns.wait_for(5)
    await loop.stop()


async def test_a_bell_during_a_turn_is_not_lost() -> None:
    def act(turn: int) -> float | None:
        if turn == 1:
            loop.notify()
        return FOREVER

    turns = Turns(act)
    loop = Loop("test", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    await turns.wait_for(2)
    await loop.stop()


@pytest.mark.parametrize("error", [StoreUnavailable("full"), RuntimeError("a bug"), KeyError("x")])
async def test_an_error_costs_one_turn_and_never_the_service(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def act(turn: int) -> float | None:
        if turn == 1:
            raise error
        return FOREVER

    turns = Turns(act)
    loop = Loop("the-service", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    await turns.wait_for(1)
    loop.notify()
    await turns.wait_for(2)
    await loop.stop()
    assert "the-service" in caplog.text


async def test_a_store_that_closes_ends_the_service() -> None:
    def act(turn: int) -> float | None:
        raise StoreClosed("closing")

    turns = Turns(act)
    loop = Loop("test", turns.run_once, VirtualClock(), 0.0)
    loop.start()
    await turns.wait_for(1)
    await loop.stop()
    assert len(turns.at) == 1


async def test_stopping_before_the_start_is_no_error() -> None:
    await Loop("test", Turns().run_once, VirtualClock(), FOREVER).stop()


@pytest.mark.parametrize("steps", range(6))
async def test_a_stop_at_the_moment_of_a_bell_is_not_lost(steps: int) -> None:
    turns = Turns()
    loop = Loop("test", turns.run_once, VirtualClock(), FOREVER)
    loop.start()
    await turns.wait_for(1)
    loop.notify()
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await loop.stop()
