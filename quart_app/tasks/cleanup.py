"""`cleanup`: once an hour, deletes what retention no longer keeps, and temporary files that a killed process left."""

from __future__ import annotations

from typing import Any

from quart_app.engine import TaskContext, schedule, task


@schedule("0 * * * *", timezone="UTC")
@task("cleanup", timeout=1800, scope="admin")
async def cleanup(ctx: TaskContext) -> dict[str, Any]:
    """Delete what is no longer kept; the result says how many rows, and which files."""
    rows = await ctx.maintenance.prune()
    files = await ctx.maintenance.sweep_files()
    await ctx.log(f"{rows} rows and {len(files)} files removed")
    return {"rows": rows, "files": files}
