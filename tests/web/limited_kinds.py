"""Kinds with limits, as a person would put them into a file of QUART_APP_TASKS."""

from __future__ import annotations

from quart_app import Limit, TaskContext, task
from tests.web.kinds import passed

shared = Limit("shared", concurrency=1, rate="1000/60", key="customer")


@task("two-at-once", concurrency=2)
async def two_at_once(ctx: TaskContext, name: str = "two") -> None:
    """Runs until its gate is open."""
    await passed(ctx, name)


@task("few", rate_limit="3/3600")
async def few() -> None:
    """Three times an hour."""


@task("for-customer", limits=[shared], queue="customers")
async def for_customer(ctx: TaskContext, customer: str) -> None:
    await passed(ctx, customer)
