"""`add`: the quick guide's example. Two seconds of simulated work, then a sum of integers of up to 1000 digits."""

from __future__ import annotations

import asyncio

from quart_app.engine import TaskContext, task


@task("add")
async def add(ctx: TaskContext, x: int, y: int) -> int:
    """Add two integers, slowly."""
    await asyncio.sleep(ctx.settings.simulated_add_seconds)
    return x + y
