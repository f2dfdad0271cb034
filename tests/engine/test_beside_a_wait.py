"""What runs beside a suspension in the same handler: in tasks of a group, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.engine import Engine, Gate, result, until

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("kid")
async def kid(n: int = 0) -> int:
    return n


BESIDE: dict[str, Callable[[TaskContext], Awaitable[Any]]] = {
    "step": lambda ctx: ctx.step("beside", lambda: "done"),
    "spawn": lambda ctx: ctx.spawn("kid"),
    "sleep": lambda ctx: ctx.sleep(1.1),
    "signal": lambda ctx: ctx.wait_signal("never", timeout=0.1),
}


@task("sleeps-first")
async def sleeps_first(ctx: TaskContext, what: str, after: int) -> str:
    """The suspension is raised before the other call begins, and before the group cancels what is beside it."""

    async def later() -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            await BESIDE[what](ctx)

    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.sleep(1.1))
        group.create_task(later())
    return "both"


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("what", list(BESIDE))
async def test_what_begins_after_a_suspension_waits_for_the_next_run(engine: Engine, what: str, after: int) -> None:
    assert result(await engine.run("sleeps-first", {"what": what, "after": after})) == "both"


POOL = ThreadPoolExecutor()  # a handler that leaves does not wait for it


@task("threads")
def threads(ctx: BlockingTaskContext) -> str:
    begun = threading.Event()

    def slow() -> int:
        calls.append("step")
        begun.set()
        gate.wait_blocking()
        return 7

    stepped = POOL.submit(ctx.step, "slow", slow)
    if not calls:
        begun.wait(20)
    calls.append("sleep")
    ctx.sleep(1.1)
    return f"slept, {stepped.result()}"


async def test_a_step_in_another_thread_is_recorded_before_a_suspension(engine: Engine) -> None:
    handle = await engine.enqueue("threads")
    await until(lambda: calls == ["step", "sleep"], "both to begin")
    gate.open()
    assert result(await engine.end(handle)) == "slept, 7"
    assert calls == ["step", "sleep", "sleep"]


@task("wide")
async def wide(ctx: TaskContext, widths: list[int]) -> None:
    if ctx.attempt == 2:
        await asyncio.gather(*(ctx.spawn_many("kid", [{}] * n) for n in widths))
    await ctx.spawn("kid")
    raise ValueError("once more")


async def test_spawns_at_once_do_not_pass_the_limit_of_children_together(tmp_path: Any) -> None:
    engine = await Engine(tmp_path, [kid, wide], max_children=10).open()
    row = await engine.run("wide", {"widths": [6, 6]}, max_attempts=2)
    assert row.error_type == "TooManyChildren"
    assert engine.sql("SELECT count(*) FROM tasks WHERE parent IS NOT NULL") == [(7,)]
    await engine.close()


@task("gathers-no-ids")
async def gathers_no_ids(ctx: TaskContext, wrong: Any) -> Any:
    child = await ctx.spawn("kid")
    return await ctx.gather(child if wrong is None else wrong)


@pytest.mark.parametrize("wrong", [None, [1], [None], [["id"]]])
async def test_gather_takes_ids_alone(engine: Engine, wrong: Any) -> None:
    row = await engine.run("gathers-no-ids", {"wrong": wrong})
    assert (row.status, row.error_type) == ("failed", "ValueError")
    assert "the ids that spawn has returned" in str(row.error_message)
