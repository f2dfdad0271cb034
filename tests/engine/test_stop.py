"""A graceful stop: nothing is lost, nothing is charged, nothing is left `processing`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import Draining, StoreUnavailable
from quart_app.core.task_request import TaskRequest
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Gate, result, until

calls: list[str] = []
gate = Gate()
stops: list[Callable[[], None]] = []
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("waits")
async def waits(ctx: TaskContext) -> int:
    calls.append("waits")
    await gate.wait()
    return ctx.attempt


@task("swallows")
async def swallows(ctx: TaskContext) -> int:
    calls.append("swallows")
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            pass
    return ctx.attempt


@task("polls")
def polls(ctx: BlockingTaskContext) -> int:
    calls.append("polls")
    while not ctx.cancelled and not gate.is_open:
        gate.wait_blocking(0.01)
    return int(ctx.attempt)


@task("ignores")
def ignores(ctx: BlockingTaskContext) -> int:
    calls.append("ignores")
    gate.wait_blocking()
    return int(ctx.attempt)


@task("raises-when-cancelled")
async def raises_when_cancelled(ctx: TaskContext) -> int:
    calls.append("raises-when-cancelled")
    try:
        await gate.wait()
    except asyncio.CancelledError:
        raise ValueError("not an end of mine") from None
    return ctx.attempt


@task("quick")
async def quick() -> None:
    calls.append("quick")


@task("waits-and-makes")
async def waits_and_makes(ctx: TaskContext) -> None:
    calls.append("waits-and-makes")
    await gate.wait()
    await ctx.enqueue("quick")
    await quick.enqueue()


@task("ends")
async def ends() -> None:
    calls.append("ends")
    asyncio.get_running_loop().call_soon(stops.pop())


KINDS = ["waits", "swallows", "polls", "ignores", "raises-when-cancelled"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unfinished_task_is_released_and_goes_on_at_the_next_start(start: Start, kind: str) -> None:
    first_life = await start()
    handle = await first_life.enqueue(kind)
    await until(lambda: calls == [kind], "the start of the handler")
    await first_life.close()
    ((status, attempt, crashes, cause),) = first_life.sql("SELECT status, attempt, crashes, cause FROM tasks")
    assert (status, attempt, crashes, cause) == ("pending", 0, 0, "release")

    gate.open()
    second_life = await start()
    done = await second_life.runtime.service.wait(handle.id, 20)
    assert (result(done), done.attempt, done.crashes, done.error_type) == (1, 1, 0, None)
    assert calls == [kind, kind]


async def test_a_task_that_ends_within_the_drain_time_is_completed(start: Start) -> None:
    engine = await start(drain_seconds=20)
    handle = await engine.enqueue("waits")
    await until(lambda: calls == ["waits"], "the start of the handler")
    engine.runtime.begin_drain()
    gate.open()
    await engine.close()
    assert engine.sql("SELECT status FROM tasks WHERE id = ?", handle.id) == [("completed",)]


async def test_a_draining_engine_takes_no_tasks_from_clients_and_claims_nothing(start: Start) -> None:
    engine = await start(concurrency=1, drain_seconds=20)
    await engine.enqueue("waits")
    await engine.enqueue("quick")
    await until(lambda: calls == ["waits"], "the start of the handler")
    engine.runtime.begin_drain()
    with pytest.raises(Draining):
        await engine.runtime.service.accept([TaskRequest("quick", {})])
    gate.open()
    await engine.close()
    assert engine.sql("SELECT kind, status FROM tasks ORDER BY seq") == [("waits", "completed"), ("quick", "pending")]
    assert calls == ["waits"]


async def test_a_task_that_runs_on_in_the_drain_time_may_make_others(start: Start) -> None:
    engine = await start(drain_seconds=20)
    parent = await engine.enqueue("waits-and-makes")
    await until(lambda: calls == ["waits-and-makes"], "the start of the handler")
    engine.runtime.begin_drain()
    gate.open()
    await engine.close()
    assert engine.sql("SELECT kind, status, attempt FROM tasks ORDER BY seq") == [
        ("waits-and-makes", "completed", 1),
        ("quick", "pending", 0),
        ("quick", "pending", 0),
    ]
    next_life = await start()
    await until(lambda: calls.count("quick") == 2, "the tasks that were made in the drain time")
    assert (await next_life.runtime.service.get(parent.id)).status == "completed"


async def test_a_handler_that_has_ended_when_the_stop_comes_is_completed(start: Start) -> None:
    """It ends in one turn of the loop, which its runner hears of in the next: the stop comes between the two."""
    engine = await start()
    stops.append(engine.runtime.runner.stop)
    handle = await engine.enqueue("ends")
    await until(lambda: calls == ["ends"], "the run")
    await engine.close()
    assert engine.sql("SELECT status FROM tasks WHERE id = ?", handle.id) == [("completed",)]


async def test_a_stop_in_the_middle_of_claims_leaves_no_row_processing(start: Start) -> None:
    """Whatever instant the stop comes at: what was claimed is completed or released."""
    for yields in range(30):
        engine = await start(concurrency=4)
        making = [asyncio.ensure_future(engine.enqueue("quick")) for _ in range(6)]
        if yields % 3:
            await asyncio.wait(making)
        for _ in range(yields):
            await asyncio.sleep(0)
        await engine.close()
        for outcome in await asyncio.gather(*making, return_exceptions=True):
            assert not isinstance(outcome, BaseException) or isinstance(outcome, Draining | StoreUnavailable)
        left = engine.sql("SELECT status, cause, crashes FROM tasks WHERE status = 'processing' OR crashes > 0")
        assert left == [], f"after {yields} turns of the loop"
    (completed,) = engine.sql("SELECT n FROM counters WHERE kind = 'quick' AND status = 'completed'") or [(0,)]
    assert completed[0] == calls.count("quick")


async def test_a_cancel_asked_of_a_stubborn_task_outlives_the_stop(start: Start) -> None:
    first_life = await start()
    handle = await first_life.enqueue("swallows")
    await until(lambda: calls == ["swallows"], "the start of the handler")
    await first_life.runtime.service.cancel(handle.id)
    await first_life.close()
    second_life = await start()
    ended = await second_life.runtime.service.wait(handle.id, 20)
    assert ended.status == "cancelled"
    assert calls == ["swallows"]


async def test_every_thread_and_file_of_the_engine_is_given_back(start: Start) -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    warm = await start()
    await warm.run("quick")
    await warm.close()
    before = held()
    for _ in range(5):
        engine = await start()
        await engine.run("quick")
        await engine.close()
    await until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "the threads and files")
