"""Kinds for the journeys."""

from __future__ import annotations

import asyncio
from pathlib import Path

from quart_app import TaskContext, task


@task("counts")
async def counts(ctx: TaskContext, most: int = 10, flag: str = "") -> int:
    """Says each number once, over crashes too: but the one that a crash interrupts. At 10 it waits for a file."""
    for number in range(most):
        await ctx.step(f"say-{number}", say, ctx, number, flag if number == 10 else "")
        await ctx.progress(number + 1, most)
    return most


async def say(ctx: TaskContext, number: int, flag: str) -> int:
    await ctx.log(f"number {number}")
    while flag and not Path(flag).exists():  # noqa: ASYNC110, ASYNC240 - a file rings no bell
        await asyncio.sleep(0.01)
    return number


@task("fails-once")
async def fails_once(ctx: TaskContext, flag: str) -> str:
    """Fails until there is such a file."""
    await ctx.step("first", asyncio.sleep, 0)
    if not Path(flag).exists():  # noqa: ASYNC240
        raise ValueError("<b>not yet</b>")
    return "done"


@task("holds")
async def holds() -> None:
    """Runs until it is cancelled."""
    await asyncio.Event().wait()
