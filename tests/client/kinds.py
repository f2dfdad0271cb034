"""Kinds for the client's tests; the server loads this file, and tests import it for the types of the results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from quart_app import TaskContext, task


@dataclass
class Price:
    amount: Decimal
    currency: str


@task("price")
async def price(order: int) -> Price:
    return Price(Decimal(order) / 4, "usd")


@task("length")
def length(text: str) -> int:
    return len(text)


@task("counts")
async def counts(ctx: TaskContext, to: int, flag: str) -> int:
    """Tells of each number; halfway it waits until the file `flag` is there."""
    for number in range(1, to + 1):
        while number == to // 2 and not Path(flag).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(0.01)
        await ctx.progress(number, to, f"number {number}")
        await ctx.log(f"at {number}")
    return to


@task("fails")
async def fails(ctx: TaskContext, path: str) -> None:
    """Two steps, and no luck."""
    await ctx.step("first", append, path, "first")
    await ctx.step("second", append, path, "second")
    raise ValueError("no luck")


def append(path: str, word: str) -> str:
    with Path(path).open("a") as file:
        file.write(f"{word}\n")
    return word


@task("waits")
async def waits(ctx: TaskContext, times: int = 1) -> list[object]:
    return [await ctx.wait_signal("go") for _ in range(times)]
