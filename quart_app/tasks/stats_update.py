"""`stats-update`: every five minutes, computes the figures by kind that `/status` shows."""

from __future__ import annotations

from typing import Any

from quart_app.engine import TaskContext, schedule, task


@schedule("*/5 * * * *", timezone="UTC")
@task("stats-update", timeout=60, max_attempts=3, scope="admin")
async def stats_update(ctx: TaskContext) -> dict[str, Any]:
    """Compute counts, runs and durations of each kind."""
    return await ctx.maintenance.update_statistics()
