"""`request-audit`: `/` and `/hello` start it for each visit. It simulates work in two steps and sometimes fails."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from quart_app.core.errors import Foreseen
from quart_app.engine import TaskContext, task


class SimulatedError(Foreseen):
    """Raised in a share QUART_APP_SIMULATED_ERROR_RATE of all audits, to show that error handling works."""


@task("request-audit", queue="audit")
async def request_audit(
    ctx: TaskContext, endpoint: str, ip: str | None = None, user_agent: str | None = None, query: str | None = None
) -> dict[str, Any]:
    """Audit a request in two slow steps; sometimes it fails."""
    await ctx.log(f"request {ctx.task_id} to {endpoint}: audit started", ip=ip, user_agent=user_agent, query=query)
    for number, seconds in enumerate(ctx.settings.step_seconds, start=1):
        await ctx.step(f"work-{number}", asyncio.sleep, seconds)
        await ctx.log(f"request {ctx.task_id}: step {number} of {len(ctx.settings.step_seconds)} done")
    if random.random() < ctx.settings.simulated_error_rate:
        await ctx.log(f"request {ctx.task_id}: simulated error")
        raise SimulatedError(f"simulated error of request {ctx.task_id}")
    await ctx.log(f"request {ctx.task_id}: audit completed")
    return {"request_uuid": ctx.task_id, "endpoint": endpoint}
