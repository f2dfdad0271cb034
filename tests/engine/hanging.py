"""Kinds whose handlers hang in all the ways that a stack must show, and how a test waits for that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from quart_app import TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.engine.registry import Registry
from quart_app.service.tasks import TaskHandle
from tests.engine import process_kinds
from tests.engine.engine import Engine, Gate, until

gate = Gate()


async def here() -> None:
    await gate.wait()  # the innermost


async def numbers() -> AsyncIterator[int]:
    yield 1
    await here()


async def reads() -> None:
    async for _ in numbers():
        pass


async def gathers() -> None:
    await asyncio.gather(asyncio.sleep(0), here())


async def groups() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(here())


async def waits_for() -> None:
    await asyncio.wait_for(here(), 3600)


async def waits() -> None:
    await asyncio.wait([asyncio.create_task(here())])


async def awaits_a_task() -> None:
    await asyncio.create_task(here())


class Awaitable:
    def __await__(self) -> Any:
        return here().__await__()


async def awaits_an_object() -> None:
    await Awaitable()


WAYS: dict[str, Callable[[], Any]] = {
    way.__name__: way for way in (here, reads, gathers, groups, waits_for, waits, awaits_a_task, awaits_an_object)
}


@task("hangs")
async def hangs(ctx: TaskContext, way: str) -> None:
    await ctx.progress(1)
    await WAYS[way]()


@task("hangs-in-a-thread")
def hangs_in_a_thread(ctx: BlockingTaskContext) -> None:
    ctx.progress(1)
    gate.wait_blocking()


@task("hangs-in-a-step")
async def hangs_in_a_step(ctx: TaskContext) -> None:
    await ctx.progress(1)
    await ctx.step("first", gate.wait_blocking)


@task("hangs-in-a-step-of-a-thread")
def hangs_in_a_step_of_a_thread(ctx: BlockingTaskContext) -> None:
    ctx.progress(1)
    ctx.step("first", here)


@task("ignores")
async def ignores(ctx: TaskContext) -> None:
    await ctx.progress(1)
    while not gate.is_open:
        try:
            await here()
        except asyncio.CancelledError:
            continue


@task("blocks")
async def blocks(ctx: TaskContext, beside: bool = False) -> str:
    async def wait() -> None:
        gate.wait_blocking(15)

    await (asyncio.create_task(wait()) if beside else wait())
    return "done"


@task("deep")
async def deep(ctx: TaskContext, depth: int = 300) -> None:
    if depth:
        await deep(ctx, depth - 1)
    else:
        await ctx.progress(1)
        await here()


def kinds() -> Registry:
    """These and those for child processes."""
    registry = Registry()
    for module in (sys.modules[__name__], process_kinds):
        registry.add_module(module)
    return registry


async def frames(engine: Engine, handle: TaskHandle) -> list[Any]:
    """The stack once the handler hangs."""
    await until(lambda: reported(handle), "the handler's first line")
    seen: list[Any] = []

    async def still() -> bool:
        before, seen[:] = list(seen), (await engine.runtime.stacks.read(handle.id, None)).frames
        return before == seen

    await until(still, "a handler that hangs")
    return seen


async def reported(handle: TaskHandle) -> bool:
    row = await handle.get()
    return row.done is not None or bool(row.message)


async def notes(engine: Engine, handle: TaskHandle) -> list[Any]:
    return [
        (data["message"], data["fields"]["frames"])
        for data in await engine.events(await handle.get(), "log")
        if "frames" in data.get("fields", {})
    ]


async def once(engine: Engine, handle: TaskHandle, code: str) -> list[Any]:
    """A stack of a handler that goes round in a loop of which one line is `code`."""
    await until(lambda: reported(handle), "the handler's first line")

    async def found() -> Any:
        frames = (await engine.runtime.stacks.read(handle.id, None)).frames
        return frames if any(code in frame.code for frame in frames) else None

    return list(await until(found, f"the line {code}"))
