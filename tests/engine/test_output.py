"""What handlers emit: kept in order, written many at a time, none lost at the end of a run, of a step, of a claim."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app import Retry, TaskContext, task
from quart_app.core.errors import StoreUnavailable
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate

AGAIN = (0.0, 1.0, 0.0)  # a backoff of nothing
gate = Gate()
cancelled = Gate()


@pytest.fixture(autouse=True)
async def fresh(start: Start) -> AsyncIterator[None]:
    gate.close()
    cancelled.close()
    yield
    gate.open()


@task("emits")
async def emits(ctx: TaskContext, values: list[Any]) -> None:
    for value in values:
        await ctx.emit(value)


@task("emits-blocking")
def emits_blocking(ctx: BlockingTaskContext, values: list[Any]) -> None:
    for value in values:
        ctx.emit(value)


@task("emits-at-once")
async def emits_at_once(ctx: TaskContext, n: int) -> None:
    await asyncio.gather(*(ctx.emit(k) for k in range(n)))


@task("emits-in-steps", max_attempts=3, backoff=AGAIN)
async def emits_in_steps(ctx: TaskContext) -> None:
    await ctx.emit(f"run {ctx.attempt} begins")
    for name in ("one", "two"):
        await ctx.step(name, _says, ctx, name)
    if ctx.attempt == 1:
        raise Retry(after=0.0)


@task("emits-in-steps-blocking", max_attempts=3, backoff=AGAIN)
def emits_in_steps_blocking(ctx: BlockingTaskContext) -> None:
    ctx.emit(f"run {ctx.attempt} begins")
    for name in ("one", "two"):
        ctx.step(name, lambda name=name: ctx.emit(name))
    if ctx.attempt == 1:
        raise Retry(after=0.0)


async def _says(ctx: TaskContext, what: str) -> None:
    await ctx.emit(what)


@task("emits-and-waits")
async def emits_and_waits(ctx: TaskContext, n: int) -> None:
    for k in range(n):
        await ctx.emit(k)
    await gate.wait()
    await ctx.emit("last")


@task("emits-and-sleeps")
async def emits_and_sleeps(ctx: TaskContext) -> None:
    await ctx.emit("before")
    await ctx.emit("the sleep")
    await ctx.sleep(1)
    await ctx.emit("after")


@task("emits-and-fails")
async def emits_and_fails(ctx: TaskContext) -> None:
    await ctx.emit("one")
    await ctx.emit("two")
    raise ValueError("after the last word")


@task("emits-until-cancelled")
async def emits_until_cancelled(ctx: TaskContext) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await ctx.emit("one")
        await ctx.emit("good bye")


@task("step-that-is-cancelled")
async def step_that_is_cancelled(ctx: TaskContext) -> None:
    recording = asyncio.create_task(ctx.step("said", _says, ctx, "inside"))
    await gate.wait()
    recording.cancel()
    await asyncio.wait([recording])
    cancelled.open()
    await ctx.emit("after")


async def emitted(engine: Engine, done: Any) -> list[tuple[int, int, Any]]:
    """(run, n, data) of all output, oldest first."""
    return [(one["run"], one["n"], one["data"]) for one in await engine.events(done, "output")]


VALUES = [None, True, 1.5, "text", "NUL \x00 and \ud800", ["a", {"b": []}], {"n": 10**30}, ""]
READ = [None, True, 1.5, "text", "NUL \ufffd and \ufffd", ["a", {"b": []}], {"n": 10**30}, ""]


@pytest.mark.parametrize("kind", ["emits", "emits-blocking"])
async def test_what_is_emitted_is_in_the_history_in_order_and_numbered(engine: Engine, kind: str) -> None:
    done = await engine.run(kind, {"values": VALUES})
    assert done.status == "completed"
    assert await emitted(engine, done) == [(1, n, value) for n, value in enumerate(READ, 1)]
    events, _, _ = await engine.history(done)
    assert [event.name for event in events] == ["status", "status", *["output"] * len(VALUES), "status"]


async def test_emissions_at_once_keep_the_order_of_their_calls(engine: Engine) -> None:
    done = await engine.run("emits-at-once", {"n": 3000})
    assert await emitted(engine, done) == [(1, n + 1, n) for n in range(3000)]


@pytest.mark.parametrize("kind", ["emits-in-steps", "emits-in-steps-blocking"])
async def test_what_a_recorded_step_emitted_is_not_emitted_again(engine: Engine, kind: str) -> None:
    done = await engine.run(kind)
    assert done.attempt == 2
    assert await emitted(engine, done) == [
        (1, 1, "run 1 begins"),
        (1, 2, "one"),
        (1, 3, "two"),
        (2, 1, "run 2 begins"),
    ]


async def test_a_step_is_recorded_after_what_it_emitted(engine: Engine) -> None:
    events, _, _ = await engine.history(await engine.run("emits-in-steps"))
    names = [event.name for event in events if event.name != "status"]
    assert names == ["output", "output", "step", "output", "step", "output"]


async def test_a_step_that_is_cancelled_takes_no_output_with_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit = engine.runtime.flow_store.emit
    refused: list[Any] = []

    async def unwilling(*args: Any) -> bool:
        gate.open()
        await cancelled.wait()
        if not refused:
            refused.append(args)
            raise StoreUnavailable("the disk is full")
        return await emit(*args)

    monkeypatch.setattr(engine.runtime.flow_store, "emit", unwilling)
    done = await engine.run("step-that-is-cancelled")
    assert done.status == "completed", done.error_message
    assert await emitted(engine, done) == [(1, 1, "inside"), (1, 2, "after")]


async def test_a_suspension_is_recorded_after_what_was_emitted_and_the_wake_up_is_another_run(engine: Engine) -> None:
    done = await engine.run("emits-and-sleeps")
    assert await emitted(engine, done) == [
        (1, 1, "before"),
        (1, 2, "the sleep"),
        (2, 1, "before"),
        (2, 2, "the sleep"),
        (2, 3, "after"),
    ]
    events, _, _ = await engine.history(done)
    causes = [event.cause if event.name == "status" else event.name for event in events if event.name != "step"]
    assert causes == ["enqueue", "claim", *["output"] * 2, "suspend", "claim", *["output"] * 3, "complete"]


async def test_what_was_emitted_before_an_error_is_kept(engine: Engine) -> None:
    failed = await engine.run("emits-and-fails")
    assert failed.error_type == "ValueError"
    assert await emitted(engine, failed) == [(1, 1, "one"), (1, 2, "two")]


async def test_what_is_emitted_while_a_cancel_ends_the_handler_is_kept(engine: Engine) -> None:
    handle = await engine.enqueue("emits-until-cancelled")
    await engine.status(handle, "processing")
    await engine.runtime.service.cancel(handle.id)
    ended = await engine.end(handle)
    assert ended.status == "cancelled"
    assert await emitted(engine, ended) == [(1, 1, "one"), (1, 2, "good bye")]
