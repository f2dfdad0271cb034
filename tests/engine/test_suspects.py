"""Which suspects run beside which: many at first, fewer after each crash, and nobody holds a seat for long."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core import lifecycle
from quart_app.engine.suspects import SuspectSeats
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, until
from tests.store.kit import never_ran, new_task

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("steps")
async def steps(ctx: TaskContext) -> None:
    calls.append(ctx.task_id)
    await ctx.step("first", lambda: 1)
    await gate.wait()


@task("waits")
async def waits(ctx: TaskContext) -> None:
    calls.append(ctx.task_id)
    await gate.wait()


async def suspects(start: Start, kind: str, number: int, crashes: int, **settings: Any) -> Engine:
    """An engine that starts with so many suspects."""
    first = await start(concurrency=1)
    await first.enqueue("waits")
    for _ in range(number):
        await first.enqueue(kind)
    await until(lambda: calls, "the one that holds the slot")
    await first.close()
    first.sql("UPDATE tasks SET crashes = ? WHERE seq > 1", crashes)
    calls.clear()
    return await start(**settings)


@pytest.mark.parametrize(("crashes", "together"), [(2, 8), (3, 2), (4, 1), (5, 1), (11, 1)])
async def test_so_many_suspects_run_together(start: Start, crashes: int, together: int) -> None:
    engine = await suspects(start, "waits", 10, crashes, concurrency=16)
    await until(lambda: len(calls) == 1 + together, "the suspects that may run, beside the healthy one")
    await engine.enqueue("waits")
    await until(lambda: len(calls) == 2 + together, "a healthy task beside them")
    assert len(engine.runtime.runner.runs) == 2 + together
    gate.open()
    await until(lambda: len(calls) == 12, "all of them")


async def test_a_recorded_step_frees_the_seat_at_once(start: Start) -> None:
    await suspects(start, "steps", 6, 5, concurrency=16)
    await until(lambda: len(calls) == 7, "every suspect to start, though none has ended")


async def test_a_suspect_that_outlives_its_suspicion_frees_its_seat(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "SUSPECT_SEAT_SECONDS", 0.05)
    await suspects(start, "waits", 4, 5, concurrency=16)
    await until(lambda: len(calls) == 5, "every suspect to start, though none has ended")


async def test_one_of_many_crashes_keeps_the_others_from_joining_it() -> None:
    seats = SuspectSeats(64, 10, lambda: None)
    assert list(seats.rooms()) == [(2, 2, 32), (3, 3, 8), (4, 4, 2), (5, 2**31, 1)]
    some, worst = never_ran(new_task(), crashes=3), never_ran(new_task(), crashes=4)
    seats.take(some)
    assert list(seats.rooms()) == [(2, 2, 7), (3, 3, 7), (4, 4, 1)]
    seats.take(worst)
    assert list(seats.rooms()) == []
    seats.free(worst)
    assert list(seats.rooms()) == [(2, 2, 7), (3, 3, 7), (4, 4, 1)]
    seats.free(some)
    seats.free(some)
    assert len(list(seats.rooms())) == 4
