"""A cancel that was answered with "asked" ends the task, whatever its run comes to, unless the run completes."""

from __future__ import annotations

import asyncio

import pytest

from quart_app import NonRetryable, Retry, TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")

ENDS = {
    "later": Retry(after=3600),
    "again": ValueError("x"),
    "final": NonRetryable("no"),
    "cancelled": asyncio.CancelledError(),
}


@task("ends", max_attempts=5, backoff=(3600.0, 1.0, 3600.0))
async def ends(how: str) -> str:
    calls.append("started")
    await gate.wait()
    if how in ENDS:
        raise ENDS[how]
    return how


@task("swallows", timeout=0.05, max_attempts=5, backoff=(3600.0, 1.0, 3600.0))
async def swallows(ctx: TaskContext) -> None:
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            calls.append("timeout")


@task("ignores", timeout=0.05, max_attempts=5, backoff=(3600.0, 1.0, 3600.0))
def ignores(ctx: BlockingTaskContext) -> None:
    while not ctx.cancelled and not gate.is_open:
        gate.wait_blocking(0.01)
    calls.append("timeout")
    gate.wait_blocking()


@pytest.mark.parametrize("how", ENDS)
async def test_a_cancel_between_the_end_of_a_handler_and_its_record_is_carried_out(engine: Engine, how: str) -> None:
    """It is on record, and the run has not heard of it: that is how the two pass each other."""
    handle = await engine.enqueue("ends", {"how": how})
    await until(lambda: calls, "the start of the handler")
    assert await engine.runtime.store.cancel(handle.id, engine.runtime.clock.now()) == "requested"
    gate.open()
    cancelled = await engine.end(handle)
    assert (cancelled.status, cancelled.attempt) == ("cancelled", 1)
    _, _, errors = await engine.history(cancelled)
    assert [error.type for error in errors] == [type(ENDS[how]).__name__], "what happened stays on record"


async def test_a_run_that_completes_beside_a_cancel_is_completed(engine: Engine) -> None:
    handle = await engine.enqueue("ends", {"how": "well"})
    await until(lambda: calls, "the start of the handler")
    await engine.runtime.store.cancel(handle.id, engine.runtime.clock.now())
    gate.open()
    assert (await engine.end(handle)).status == "completed"


@pytest.mark.parametrize("kind", ["swallows", "ignores"])
async def test_a_cancel_after_the_time_limit_is_carried_out(engine: Engine, kind: str) -> None:
    """The handler ignores its time limit, and is not tried again once somebody has cancelled it."""
    handle = await engine.enqueue(kind)
    await until(lambda: calls == ["timeout"], "the time limit")
    assert await engine.runtime.service.cancel(handle.id) is False
    gate.open()
    assert (await engine.end(handle)).status == "cancelled"


@pytest.mark.usefixtures("short_grace")
async def test_a_cancel_while_a_handler_is_left_behind_is_carried_out(engine: Engine) -> None:
    handle = await engine.enqueue("swallows")
    await until(lambda: calls == ["timeout"], "the time limit")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"


async def test_a_stop_and_a_cancel_at_once_end_the_task_cancelled(start: Start) -> None:
    engine = await start()
    handle = await engine.enqueue("ends", {"how": "well"})
    await until(lambda: calls, "the start of the handler")
    await engine.runtime.store.cancel(handle.id, engine.runtime.clock.now())
    await engine.close()
    assert engine.sql("SELECT status, cause FROM tasks") == [("cancelled", "cancel")]
