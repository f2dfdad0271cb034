"""Kinds that fail in different places, on the loop, in a thread, in a child process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from quart_app import NonRetryable, TaskContext, task


def total(prices: Any) -> float:
    return sum(float(price) for price in prices)


def decode(text: str) -> Any:
    return json.loads(text)  # raises in the standard library


@task("on-loop")
async def on_loop(ctx: TaskContext, prices: Any) -> float:
    return await ctx.step("total", total, prices)


@task("in-thread")
def in_thread(prices: Any) -> float:
    return total(prices)


@task("in-process", executor="process")
def in_process(prices: Any) -> float:
    return total(prices)


@task("decoding")
async def decoding(text: str = "{") -> Any:
    return decode(text)


@task("grouped")
async def grouped(prices: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(total, prices))


@task("refusing")
async def refusing() -> None:
    raise NonRetryable("by itself")


@task("too-slow", timeout=0.05)
async def too_slow() -> None:
    await asyncio.sleep(60)


@task("choosy")
async def choosy(what: str) -> None:
    if what == "key":
        raise KeyError(what)
    raise ValueError(what)
