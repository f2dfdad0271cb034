"""An error beside a suspension, or while a handler leaves for one, is the error of the attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app import TaskContext, task
from tests.engine.engine import Engine, Gate, until

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


async def fails() -> None:
    await gate.wait()
    raise ValueError("no")


@task("group")
async def group(ctx: TaskContext) -> None:
    """The sleep leaves; the group then cancels what is beside it, and that ends in an error."""

    async def ends_badly() -> None:
        try:
            await gate.wait()
        finally:
            raise ValueError("no")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ends_badly())
        tasks.create_task(ctx.sleep(3600))


@task("group-of-steps")
async def group_of_steps(ctx: TaskContext) -> None:
    async def waits() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # it goes on when the group cancels it
            await ctx.sleep(3600)
        await ctx.sleep(3600)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ctx.step("fails", fails))
        tasks.create_task(waits())


@task("gathered")
async def gathered(ctx: TaskContext) -> None:
    await asyncio.gather(ctx.step("fails", fails), ctx.sleep(3600))


@task("gathered-and-raised-from")
async def gathered_and_raised_from(ctx: TaskContext) -> None:
    try:
        await asyncio.gather(ctx.step("fails", fails), ctx.sleep(3600))
    except ValueError as error:
        raise LookupError("not found") from error


@task("closes-badly")
async def closes_badly(ctx: TaskContext) -> None:
    @contextlib.asynccontextmanager
    async def connection() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise OSError("cannot close")

    async with connection():
        await ctx.sleep(3600)


@task("closes-badly-in-a-thread")
def closes_badly_in_a_thread(ctx: TaskContext) -> None:
    try:
        ctx.sleep(3600)  # type: ignore[unused-coroutine]
    finally:
        raise OSError("cannot close")


@task("goes-on")
async def goes_on(ctx: TaskContext) -> None:
    try:
        await ctx.sleep(3600)
    except BaseException:
        calls.append("caught")
    raise ValueError("what comes of it")


@task("goes-on-with-the-context")
async def goes_on_with_the_context(ctx: TaskContext) -> None:
    try:
        await ctx.sleep(3600)
    except BaseException:
        await ctx.step("next", lambda: 1)


@pytest.mark.parametrize(
    ("kind", "error_type", "message"),
    [
        ("group", "ExceptionGroup", "ValueError: no"),
        ("group-of-steps", "ExceptionGroup", "ValueError: no"),
        ("gathered", "ValueError", "no"),
        ("gathered-and-raised-from", "LookupError", "not found"),
        ("closes-badly", "OSError", "cannot close"),
        ("closes-badly-in-a-thread", "OSError", "cannot close"),
    ],
)
async def test_the_error_is_that_of_the_attempt(engine: Engine, kind: str, error_type: str, message: str) -> None:
    handle = await engine.enqueue(kind)
    await until(lambda: engine.runtime.runner.runs or engine.sql("SELECT 1 FROM errors"), "the handler to run")
    gate.open()
    row = await engine.end(handle)
    assert (row.status, row.error_type, row.error_retryable) == ("failed", error_type, 1)
    assert str(row.error_message).endswith(message)
    assert "Suspended" not in str(row.error_message)


@pytest.mark.parametrize("kind", ["goes-on", "goes-on-with-the-context"])
async def test_a_handler_that_goes_on_is_told_that_it_swallowed_its_wait(engine: Engine, kind: str) -> None:
    assert (await engine.run(kind)).error_type == "suspension_swallowed"
