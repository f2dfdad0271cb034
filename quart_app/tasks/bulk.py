"""`bulk`: cancels, retries or deletes many tasks; what `POST /bulk` starts."""

from __future__ import annotations

from quart_app.core.bulk import BULK, Action, Filter, Reason
from quart_app.engine import TaskContext, task


# It has a queue of its own: it must not wait behind the tasks that it is to cancel.
@task(BULK, queue=BULK, priority=100, timeout=86_400, max_attempts=5)
async def bulk(ctx: TaskContext, action: Action, filter: Filter, reason: Reason | None = None) -> dict[str, int]:  # noqa: A002 - the API's name
    """Act on all tasks that the filter fits and that were there before this one; the result counts them."""
    return await ctx.bulk.run(ctx, action, filter)
