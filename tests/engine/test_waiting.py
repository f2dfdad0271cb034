"""Tasks that wait without a slot: sleeping, children, signals; over restarts."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import ChildFailed, SignalTimeout
from tests.engine.engine import Engine, Gate, result, until

GATE = Gate()
SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    GATE.close()
    SEEN.clear()


@task("naps")
async def naps(ctx: TaskContext, seconds: float = 1.2, times: int = 1) -> int:
    SEEN.append("begin")
    for _ in range(times):
        await ctx.sleep(seconds)
    return ctx.attempt


@task("naps-in-a-thread")
def naps_in_a_thread(ctx: TaskContext, seconds: float = 1.2) -> str:
    SEEN.append("begin")
    try:
        ctx.sleep(seconds)  # type: ignore[unused-coroutine]
    finally:
        SEEN.append("finally")
    return "rested"


@task("until")
async def naps_until(ctx: TaskContext, at: str) -> str:
    await ctx.sleep(until=datetime.datetime.fromisoformat(at))
    return "there"


@task("doubles")
async def doubles(ctx: TaskContext, n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is too small")
    if n == 100:
        await GATE.wait()
    return 2 * n


@task("parent")
async def parent(ctx: TaskContext, numbers: list[int], keep: bool = False) -> Any:
    SEEN.append("begin")
    ids = [await ctx.spawn("doubles", {"n": n}) for n in numbers]
    found = await ctx.gather(ids, return_exceptions=keep)
    return [[one.kind, one.status, one.error] if isinstance(one, ChildFailed) else one for one in found]


@task("many")
async def many(ctx: TaskContext, n: int) -> int:
    ids = await ctx.spawn_many(doubles, [{"n": k} for k in range(n) if k != 100])
    return sum(await ctx.gather(ids))


@task("approval")
async def approval(ctx: TaskContext, limit: float | None = None) -> Any:
    SEEN.append("begin")
    try:
        first = await ctx.wait_signal("approve", timeout=limit)
    except SignalTimeout:
        return "too late"
    return [first, await ctx.wait_signal("approve")]


@task("swallows")
async def swallows(ctx: TaskContext, returns: bool) -> str:
    try:
        await ctx.sleep(60)
    except BaseException:
        SEEN.append("caught")
    if not returns:
        await ctx.step("next", lambda: 1)
    return "never mind"


@task("beside")
async def beside(ctx: TaskContext) -> int:
    async def slow() -> int:
        SEEN.append("step")
        await GATE.wait()
        return 7

    async with asyncio.TaskGroup() as group:
        stepped = group.create_task(ctx.step("slow", slow))
        group.create_task(ctx.sleep(1.2))
    return stepped.result()


@task("given-up")
async def given_up(ctx: TaskContext) -> str:
    """A sleep that a failing step beside it takes along; the handler goes on without it."""

    async def fails() -> None:
        await GATE.wait()
        raise ValueError("no")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step("fails", fails))
            group.create_task(ctx.sleep(3600))
    except* ValueError:
        SEEN.append("caught")
    return await ctx.step("after", lambda: "went on")  # type: ignore[no-any-return]


@task("inside")
async def inside(ctx: TaskContext) -> None:
    async def waits() -> None:
        await ctx.sleep(60)

    await ctx.step("outer", waits)


@task("inside-a-thread")
def inside_a_thread(ctx: TaskContext) -> None:
    ctx.step("outer", lambda: ctx.sleep(60))  # type: ignore[unused-coroutine]


KINDS = [
    naps,
    naps_in_a_thread,
    naps_until,
    doubles,
    parent,
    many,
    approval,
    swallows,
    beside,
    given_up,
    inside,
    inside_a_thread,
]

Start = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def engine(tmp_path: Path) -> Any:
    one = await Engine(tmp_path, KINDS).open()
    yield one
    GATE.open()
    await one.close()


async def test_a_sleeping_task_holds_no_slot_and_wakes_up(engine: Engine) -> None:
    handle = await engine.enqueue("naps")
    await until(lambda: not engine.runtime.runner.runs and SEEN, "the task to be asleep")
    row = await handle.get()
    assert (row.status, row.cause, row.attempt) == ("pending", "suspend", 0)
    assert engine.runtime.dispatcher.running == 0
    assert result(await engine.end(handle)) == 1
    assert SEEN == ["begin", "begin"]


async def test_a_sleep_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = await Engine(tmp_path, KINDS).open()
    handle = await first.enqueue("naps", {"times": 2})
    await until(lambda: not first.runtime.runner.runs and SEEN, "the task to be asleep")
    await first.close()
    second = await Engine(tmp_path, KINDS).open()
    assert result(await second.end(handle)) == 1
    assert [step.name for step in (await second.history(handle))[1]] == ["sleep-1", "sleep-2"]
    await second.close()


async def test_a_handler_in_a_thread_sleeps_too(engine: Engine) -> None:
    assert result(await engine.run("naps-in-a-thread")) == "rested"
    assert SEEN == ["begin", "finally", "begin", "finally"]


async def test_a_sleep_until_a_date(engine: Engine) -> None:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1.3)
    assert result(await engine.run("until", {"at": at.isoformat()})) == "there"
    assert datetime.datetime.now(datetime.UTC) >= at
    naive = await engine.run("until", {"at": "2030-01-01T00:00:00"})
    assert (naive.status, naive.error_type) == ("failed", "ValueError")


async def test_a_parent_gathers_its_children_in_order(engine: Engine) -> None:
    assert result(await engine.run("parent", {"numbers": [3, 1, 2]})) == [6, 2, 4]


async def test_a_parent_in_every_slot_starves_no_child(tmp_path: Path) -> None:
    engine = await Engine(tmp_path, KINDS, concurrency=2).open()
    handles = [await engine.enqueue("parent", {"numbers": [n, n + 1]}) for n in range(8)]
    assert [result(await engine.end(handle)) for handle in handles] == [[2 * n, 2 * n + 2] for n in range(8)]
    await engine.close()


async def test_a_child_that_failed_is_raised_or_stands_in_its_place(engine: Engine) -> None:
    task = await engine.run("parent", {"numbers": [1, -1]})
    assert (task.status, task.error_type) == ("failed", "ChildFailed")
    kept = result(await engine.run("parent", {"numbers": [1, -1], "keep": True}))
    assert kept == [2, ["doubles", "failed", "-1 is too small"]]


async def test_a_thousand_children_in_one_commit(engine: Engine) -> None:
    assert result(await engine.run("many", {"n": 1001})) == sum(2 * n for n in range(1001) if n != 100)


async def test_children_of_a_cancelled_parent_are_cancelled(engine: Engine) -> None:
    handle = await engine.enqueue("parent", {"numbers": [100, 100]})
    await until(lambda: len(engine.runtime.runner.runs) == 2, "both children to run and the parent to wait")
    await engine.runtime.service.cancel(handle.id)
    await until(lambda: not engine.runtime.runner.runs, "the children to be cancelled")
    statuses = engine.sql("SELECT status FROM tasks ORDER BY seq")
    assert statuses == [("cancelled",)] * 3


async def test_signals_are_taken_once_and_in_order_before_and_during_a_wait(engine: Engine) -> None:
    family = engine.runtime.family
    handle = await engine.enqueue("approval")
    await until(lambda: not engine.runtime.runner.runs and SEEN, "the task to wait")
    assert (await handle.get()).waiting_for == "signal:approve"
    assert [one.id for one in await family.waiting(None, 0, 0, 9)] == [handle.id]
    await family.signal(handle.id, "other", "0", None, None)
    await family.signal(handle.id, "approve", '"yes"', None, None)
    await family.signal(handle.id, "approve", '{"n":2}', None, None)
    assert result(await engine.end(handle)) == ["yes", {"n": 2}]
    assert await family.waiting(None, 0, 0, 9) == []


async def test_a_wait_for_a_signal_ends_at_its_time(engine: Engine) -> None:
    assert result(await engine.run("approval", {"limit": 0.2})) == "too late"


@pytest.mark.parametrize("returns", [True, False])
async def test_a_swallowed_suspension_is_a_clear_error(engine: Engine, returns: bool) -> None:
    task = await engine.run("swallows", {"returns": returns})
    assert (task.status, task.error_type, task.error_retryable) == ("failed", "suspension_swallowed", 0)


async def test_a_step_beside_a_sleep_is_recorded_first(engine: Engine) -> None:
    handle = await engine.enqueue("beside")
    await until(lambda: SEEN == ["step"], "the step to run")
    assert (await handle.get()).status == "processing"
    GATE.open()
    assert result(await engine.end(handle)) == 7
    assert SEEN == ["step"]


async def test_a_sleep_that_is_cancelled_before_it_begins_is_given_up(engine: Engine) -> None:
    handle = await engine.enqueue("given-up")
    await engine.status(handle, "processing")
    GATE.open()
    assert result(await engine.end(handle)) == "went on"
    assert SEEN == ["caught"]


@pytest.mark.parametrize("kind", ["inside", "inside-a-thread"])
async def test_a_wait_inside_of_a_step_is_refused(engine: Engine, kind: str) -> None:
    ended = await engine.run(kind)
    assert (ended.status, ended.error_type) == ("failed", "RuntimeError")
    assert "inside of the step 'outer'" in str(ended.error_message)
