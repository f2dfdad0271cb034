"""Kinds as users write them on a bad day; the acceptance tests load this file by QUART_APP_TASKS.

Each writes down what it does in a journal with O_APPEND, which survives any death of the process. `flag` is a file
whose existence lets the handler end.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

from quart_app import TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.engine.processes.child import ProcessTaskContext


def journal(path: str, *words: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


def exists(flag: str) -> bool:
    return Path(flag).exists()


async def work(path: str, task_id: str, attempt: int, number: int, pause: float) -> int:
    journal(path, task_id, attempt, number)
    await asyncio.sleep(pause)
    return number * number


@task("steps")
async def steps(ctx: TaskContext, path: str, count: int = 5, pause: float = 0.1) -> list[int]:
    return [
        await ctx.step(f"s{number}", work, path, ctx.task_id, ctx.attempt, number, pause)
        for number in range(1, count + 1)
    ]


@task("gated")
async def gated(ctx: TaskContext, path: str, flag: str) -> list[int]:
    """Three steps, a gate, three steps."""
    done = []
    for number in range(1, 7):
        while number == 4 and not exists(flag):  # noqa: ASYNC110 - it is another process that sets the flag
            await asyncio.sleep(0.02)
        done.append(await ctx.step(f"s{number}", work, path, ctx.task_id, ctx.attempt, number, 0))
    return done


@task("quick")
async def quick(x: Any = None) -> Any:
    return x


@task("chatter")
async def chatter(ctx: TaskContext, lines: int) -> None:
    """Says more than the buffers of a connection hold."""
    for _ in range(lines):
        await ctx.log("blah", text="x" * 15_000)


@task("sleeper")
async def sleeper(ctx: TaskContext, path: str, flag: str) -> int:
    journal(path, "sleeper", ctx.attempt)
    while not exists(flag):  # noqa: ASYNC110 - it is another process that sets the flag
        await asyncio.sleep(0.02)
    return ctx.attempt


@task("parent")
async def parent(ctx: TaskContext, path: str, flag: str) -> None:
    journal(path, "parent", ctx.attempt)
    while not exists(flag):  # noqa: ASYNC110 - it is another process that sets the flag
        await asyncio.sleep(0.02)
    await ctx.enqueue("quick")


@task("stubborn")
async def stubborn(ctx: TaskContext, path: str, flag: str) -> int:
    journal(path, "stubborn", ctx.attempt)
    while not exists(flag):
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            pass
    return ctx.attempt


@task("blocks")
async def blocks(ctx: TaskContext, path: str, flag: str) -> int:
    journal(path, "blocks", ctx.attempt)
    if not exists(flag):
        time.sleep(3600)  # noqa: ASYNC251 - what nobody should do, and somebody will
    return ctx.attempt


@task("thread")
def thread(ctx: BlockingTaskContext, path: str, flag: str) -> int:
    journal(path, "thread", ctx.attempt)
    while not exists(flag):
        time.sleep(0.02)
    return int(ctx.attempt)


@task("child", executor="process")
def child(ctx: ProcessTaskContext, path: str, flag: str) -> int:
    journal(path, "child", ctx.attempt, os.getpid())
    while not exists(flag):
        journal(path + ".child", "alive")
        time.sleep(0.005)
    return ctx.attempt


@task("poison")
async def poison(ctx: TaskContext, path: str, how: str) -> None:
    journal(path, "poison", ctx.attempt)
    if how == "exit":
        os._exit(9)
    ctypes.string_at(0)


@task("innocent")
async def innocent(ctx: TaskContext, path: str, number: int) -> int:
    journal(path, "innocent", number)
    await asyncio.sleep(0.3)
    return number


async def leave(code: int) -> None:
    await asyncio.sleep(0.01)
    sys.exit(code)


@task("exits-inside")
async def exits_inside(how: str) -> str:
    """asyncio passes a SystemExit on through the event loop when it leaves a task that is not the handler's own."""
    match how:
        case "wait_for":
            await asyncio.wait_for(leave(3), 30)
        case "gather":
            await asyncio.gather(leave(3), leave(4))
        case "task":
            await asyncio.create_task(leave(3))
        case "detached":
            detached.add(asyncio.create_task(leave(3)))
            await asyncio.sleep(0.2)
        case "stop":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0.2)
        case "callback":
            asyncio.get_running_loop().call_later(0.01, sys.exit, 3)
            await asyncio.sleep(0.2)
    return "came through"


detached: set[asyncio.Task[None]] = set()


@task("leaf")
async def leaf(n: int) -> int:
    return n


@task("journey")
async def journey(ctx: TaskContext) -> list[Any]:
    """All that suspends a task: children, a sleep, a signal, a child again."""
    ids = await ctx.spawn_many("leaf", [{"n": n} for n in range(4)])
    await ctx.sleep(1)
    first = await ctx.gather(ids)
    told = await ctx.wait_signal("go")
    last = await ctx.gather([await ctx.spawn(leaf, {"n": told})])
    return [*first, *last]
