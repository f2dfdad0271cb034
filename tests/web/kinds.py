"""Users' kinds for these tests: what a person would put in the file that QUART_APP_TASKS names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec

from quart_app import NonRetryable, TaskContext, task


def gate(ctx: TaskContext, name: str) -> Path:
    """A file whose existence lets a waiting handler go on; tests make it with `site.open_gate(name)`."""
    return ctx.settings.data_path / f"gate-{name}"


async def passed(ctx: TaskContext, name: str) -> None:
    while not gate(ctx, name).exists():  # noqa: ASYNC110 - a file rings no bell
        await asyncio.sleep(0.005)


@task("echo")
async def echo(value: Any = None) -> Any:
    return value


@task("strict", queue="strict-queue", priority=7, max_attempts=3, timeout=12)
async def strict(x: int, name: Annotated[str, msgspec.Meta(max_length=5)] = "a") -> int:
    return x


@task("nested")
async def nested(items: list[dict[str, int]]) -> int:
    return len(items)


@task("hold")
async def hold(ctx: TaskContext, name: str = "hold") -> str:
    """Runs until its gate is open."""
    await passed(ctx, name)
    return name


@task("account", unique=("account",))
async def account(ctx: TaskContext, account: int, note: str = "") -> str:
    """Runs until the gate of its account is open."""
    await passed(ctx, f"account-{account}")
    return note


@task("search", unique=True, on_duplicate="debounce", debounce=30)
async def search(words: set[str], most: float = 10.0) -> int:
    return len(words)


@task("stages")
async def stages(ctx: TaskContext) -> str:
    """Says where it is after each gate."""
    for number in (1, 2):
        await passed(ctx, f"stage-{number}")
        await ctx.progress(number, 4, f"stage {number}")
    await passed(ctx, "stage-3")
    return "staged"


@task("steps")
async def steps(ctx: TaskContext) -> list[int]:
    """Two recorded steps; fails between them until its gate is open. Counts its calls in a file."""
    first = await ctx.step("first", count, ctx)
    await ctx.log("between the steps", colour="blue", first=first)
    if not gate(ctx, "steps").exists():
        raise NonRetryable("the gate is shut")
    return [first, await ctx.step("second", count, ctx)]


def count(ctx: TaskContext) -> int:
    """How often this was called, from 1."""
    calls = ctx.settings.data_path / "calls"
    with calls.open("a") as file:
        file.write("x")
    return calls.stat().st_size


@task("fail")
async def fail(message: str = "as asked") -> None:
    raise ValueError(message)


@task("fail-twice", max_attempts=3, backoff=(0.001, 1, 0.001))
async def fail_twice(ctx: TaskContext) -> int:
    if ctx.attempt < 3:
        raise OSError(f"attempt {ctx.attempt} fails")
    return ctx.attempt


@task("big")
async def big(n: int) -> str:
    return "b" * n


@task("odd")
async def odd(what: str) -> Any:
    """A result that has no JSON form."""
    return {"set": {1}, "bytes": b"b", "nan": float("nan"), "infinity": float("inf"), "object": object()}[what]


@task("words")
async def words() -> str:
    """Characters that JSON text or a database column may not hold."""
    return "a\x00b\ud800c"


@task("approval")
async def approval(ctx: TaskContext) -> list[Any]:
    """Two signals."""
    return [await ctx.wait_signal("approve"), await ctx.wait_signal("approve")]


@task("family")
async def family(ctx: TaskContext, values: list[int], wait: bool = False) -> list[Any]:
    """A child for each value, and one that waits for its gate."""
    ids = await ctx.spawn_many("echo", [{"value": value} for value in values])
    ids += [await ctx.spawn("hold", {"name": "child"})] if wait else []
    return await ctx.gather(ids)


@task("nap")
async def nap(ctx: TaskContext, seconds: float = 3600) -> None:
    await ctx.sleep(seconds)
