"""Cancelling: before, while and after a task runs; whoever does not listen is left behind."""

from __future__ import annotations

import asyncio

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import TaskNotFound, WrongState
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state", "short_grace")


@task("waits")
async def waits(ctx: TaskContext) -> None:
    calls.append("started")
    try:
        await gate.wait()
    except asyncio.CancelledError:
        calls.append(f"cancelled {ctx.cancelled}")
        raise


@task("writes-when-cancelled")
async def writes_when_cancelled(ctx: TaskContext) -> None:
    calls.append("started")
    await ctx.progress(1, 4)
    try:
        await gate.wait()
    except asyncio.CancelledError:
        await ctx.step("clean-up", calls.append, "cleaned up")
        await ctx.progress(2, 4, "last words")
        await ctx.log("good bye")


@task("raises-when-cancelled", max_attempts=5)
async def raises_when_cancelled(ctx: TaskContext) -> None:
    calls.append("started")
    try:
        await gate.wait()
    finally:
        raise ValueError("instead of the CancelledError")


@task("swallows")
async def swallows(ctx: TaskContext) -> None:
    calls.append("started")
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            calls.append("swallowed")
    try:
        await ctx.step("late", calls.append, "late step")
    except BaseException as error:
        calls.append(type(error).__name__)
        raise


@task("polls")
def polls(ctx: BlockingTaskContext) -> None:
    calls.append("started")
    while not ctx.cancelled:
        gate.wait_blocking(0.01)
    calls.append("saw it")


@task("ignores")
def ignores() -> None:
    calls.append("started")
    gate.wait_blocking()


@task("in-a-step")
async def in_a_step(ctx: TaskContext) -> None:
    calls.append("started")
    await ctx.step("long", gate.wait)


@task("quick")
async def quick() -> str:
    return "quick"


async def started() -> None:
    await until(lambda: "started" in calls, "the start of the handler")


async def test_a_pending_task_is_cancelled_at_once_and_never_runs(start: Start) -> None:
    engine = await start(concurrency=1)
    running = await engine.enqueue("waits")
    await started()
    handle = await engine.enqueue("quick")
    assert await engine.runtime.service.cancel(handle.id) is True
    cancelled = await handle.get()
    assert (cancelled.status, cancelled.attempt, cancelled.started_at) == ("cancelled", 0, None)
    gate.open()
    await engine.end(running)
    assert (await handle.get()).version == cancelled.version


async def test_a_delayed_task_is_cancelled_at_once(engine: Engine) -> None:
    handle = await engine.enqueue("quick", delay=3600)
    assert await engine.runtime.service.cancel(handle.id) is True
    assert (await handle.get()).status == "cancelled"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("waits", ["started", "cancelled True"]),
        ("polls", ["started", "saw it"]),
        ("raises-when-cancelled", ["started"]),
        ("in-a-step", ["started"]),
    ],
)
async def test_a_running_task_is_asked_and_ends_cancelled(engine: Engine, kind: str, expected: list[str]) -> None:
    handle = await engine.enqueue(kind)
    await started()
    assert await engine.runtime.service.cancel(handle.id) is False
    cancelled = await engine.end(handle)
    assert (cancelled.status, cancelled.error_type, cancelled.result) == ("cancelled", None, None)
    assert cancelled.cancel_requested_at is not None
    assert cancelled.completed_at is not None
    assert calls == expected
    assert not engine.runtime.runner.lingering


async def test_a_handler_may_write_its_last_words_when_it_is_cancelled(engine: Engine) -> None:
    handle = await engine.enqueue("writes-when-cancelled")
    await started()
    await engine.runtime.service.cancel(handle.id)
    cancelled = await engine.end(handle)
    assert (cancelled.status, cancelled.done, cancelled.message) == ("cancelled", 2, "last words")
    assert await engine.events(cancelled, "log") == [{"message": "good bye"}]
    _, steps, _ = await engine.history(cancelled)
    assert [step.name for step in steps] == ["clean-up"]


@pytest.mark.parametrize("kind", ["swallows", "ignores"])
async def test_a_stubborn_handler_is_left_behind_cancelled_and_its_slot_freed(start: Start, kind: str) -> None:
    engine = await start(concurrency=1)
    handle = await engine.enqueue(kind)
    await started()
    await engine.runtime.service.cancel(handle.id)
    cancelled = await engine.end(handle)
    assert cancelled.status == "cancelled"
    assert len(engine.runtime.runner.lingering) == 1
    assert engine.runtime.runner.healthy
    assert result(await engine.run("quick")) == "quick"
    gate.open()
    await until(lambda: not engine.runtime.runner.lingering, "the end of the handler")
    assert (await handle.get()).version == cancelled.version


async def test_what_an_abandoned_handler_does_later_is_refused(engine: Engine) -> None:
    handle = await engine.enqueue("swallows")
    await started()
    await engine.runtime.service.cancel(handle.id)
    await engine.end(handle)
    gate.open()
    await until(lambda: not engine.runtime.runner.lingering, "the end of the handler")
    assert calls == ["started", "swallowed", "late step", "ClaimLost"]
    _, steps, _ = await engine.history(await handle.get())
    assert steps == []


async def test_fifty_abandoned_handlers_make_the_server_unhealthy(start: Start) -> None:
    engine = await start(concurrency=50)
    handles = [await engine.enqueue("swallows") for _ in range(50)]
    await until(lambda: calls.count("started") == 50, "the start of the handlers")
    for handle in handles:
        await engine.runtime.service.cancel(handle.id)
    for handle in handles:
        assert (await engine.end(handle)).status == "cancelled"
    assert len(engine.runtime.runner.lingering) == 50
    assert not engine.runtime.runner.healthy
    gate.open()
    await until(lambda: engine.runtime.runner.healthy, "the end of the handlers")


async def test_asking_twice_is_one_cancel(engine: Engine) -> None:
    handle = await engine.enqueue("swallows")
    await started()
    for _ in range(3):
        assert await engine.runtime.service.cancel(handle.id) is False
    cancelled = await engine.end(handle)
    events, _, _ = await engine.history(cancelled)
    assert [event.cause for event in events if event.name == "status"] == [
        "enqueue",
        "claim",
        "cancel_requested",
        "cancel",
    ]


async def test_an_ended_or_unknown_task_cannot_be_cancelled(engine: Engine) -> None:
    done = await engine.run("quick")
    with pytest.raises(WrongState, match="completed"):
        await engine.runtime.service.cancel(done.id)
    with pytest.raises(TaskNotFound):
        await engine.runtime.service.cancel("0197f000-0000-7000-8000-000000000000")
    assert (await engine.runtime.service.get(done.id)).version == done.version


async def test_a_cancelled_task_can_be_run_again(engine: Engine) -> None:
    handle = await engine.enqueue("waits")
    await started()
    await engine.runtime.service.cancel(handle.id)
    await engine.end(handle)
    gate.open()
    await engine.runtime.going_back.rerun(handle.id)
    again = await engine.end(handle)
    assert (again.status, again.cancel_requested_at) == ("completed", None)


async def test_one_winner_when_cancels_race_the_ends(engine: Engine) -> None:
    """Each row ends once, and what `cancel` answered is true."""
    handles = [await engine.enqueue("quick") for _ in range(200)]

    async def ask(task_id: str) -> str:
        await asyncio.sleep(0)
        try:
            return "cancelled" if await engine.runtime.service.cancel(task_id) else "asked"
        except WrongState:
            return "ended"

    answers = await asyncio.gather(*(ask(handle.id) for handle in handles))
    ends = [await engine.end(handle) for handle in handles]
    for answer, end in zip(answers, ends, strict=True):
        assert (
            end.status
            in {"cancelled": ("cancelled",), "asked": ("cancelled", "completed"), "ended": ("completed",)}[answer]
        )
    finals = engine.sql(
        "SELECT task, count(*) FROM events WHERE name = 'status' AND status IN ('completed', 'cancelled', 'failed')"
        " GROUP BY task HAVING count(*) <> 1"
    )
    assert finals == []
