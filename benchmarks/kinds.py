"""The kinds that the benchmarks run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from quart_app import Retry, TaskContext, task


@task("noop")
async def noop() -> None:
    return None


@task("same")
async def same(x: int = 0) -> int:
    return x


@task("sit")
async def sit(until: str) -> None:
    """Hold a slot until a file appears."""
    while not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - nothing else could wake it
        await asyncio.sleep(0.1)


@task("stamp")
async def stamp(path: str) -> None:
    """Write the moment of the first run, on the clock that all processes of a machine share."""
    if not Path(path).exists():  # noqa: ASYNC240 - a stat of a local file
        Path(path).write_text(f"{time.monotonic()}\n")  # noqa: ASYNC240


@task("chatter")
async def chatter(ctx: TaskContext, lines: int) -> None:
    """Says more than the buffers of a connection hold."""
    for _ in range(lines):
        await ctx.log("blah", text="x" * 15_000)


@task("count")
async def count(ctx: TaskContext, n: int, pause: float) -> None:
    for number in range(n):
        await ctx.step(f"step {number}", asyncio.sleep, pause)


@task("lines-at-once")
async def lines_at_once(ctx: TaskContext, lines: int) -> None:
    await asyncio.gather(*(ctx.log("line", n=n) for n in range(lines)))


@task("replay", max_attempts=1_000_000)
async def replay(ctx: TaskContext, steps: int, size: int, gate: str) -> None:
    """Record outputs, and ask for them again and again once a file is there."""
    for number in range(steps):
        await ctx.step(f"step {number}", lambda: "x" * size)
    raise Retry(after=0.0 if Path(gate).exists() else 0.2)  # noqa: ASYNC240 - a stat of a local file


@task("watch-loop")
async def watch_loop(until: str) -> dict[str, float]:
    """The longest time in which the event loop ran nothing else, until a file appears; in ms, with its moment."""
    file = Path(until)
    longest = moment = 0.0
    began = looked = last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        if now - last - 0.001 > longest:
            longest, moment = now - last - 0.001, last - began
        if now - looked > 0.1:
            looked = now
            if file.exists():  # noqa: ASYNC240 - a stat of a local file, ten times a second
                return {"longest_ms": longest * 1000, "after_s": moment}
        last = time.perf_counter()
