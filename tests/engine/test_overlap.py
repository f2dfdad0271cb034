"""Code of a run that is over and goes on: the next run of its task waits for it, and it is counted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from quart_app import TaskContext, task
from quart_app.engine import attempt, lingering
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.clock import VirtualClock
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
at_work: list[int] = []
most: list[int] = []
pytestmark = pytest.mark.usefixtures("fresh_state")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    at_work.clear()
    most.clear()
    monkeypatch.setattr(attempt, "GRACE", 0.05)
    monkeypatch.setattr(lingering, "FIRST_PAUSE_MS", 20)
    monkeypatch.setattr(lingering, "LAST_PAUSE_MS", 20)
    yield


def work() -> str:
    """Two of them at once are a fault."""
    at_work.append(1)
    most.append(len(at_work))
    gate.wait_blocking()
    at_work.pop()
    return threading.current_thread().name


@task("steps", timeout=0.1, max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def steps(ctx: TaskContext) -> int:
    calls.append(f"attempt {ctx.attempt}")
    await ctx.step("work", work)
    return ctx.attempt


@task("blocks", timeout=0.1, max_attempts=2, backoff=(0.0, 1.0, 0.0))
def blocks(ctx: BlockingTaskContext) -> int:
    calls.append(f"attempt {ctx.attempt}")
    ctx.step("work", work)
    return int(ctx.attempt)


@task("swallows", timeout=0.1, max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def swallows(ctx: TaskContext) -> int:
    calls.append(f"attempt {ctx.attempt}")
    at_work.append(1)
    most.append(len(at_work))
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            pass
    at_work.pop()
    return ctx.attempt


@task("quick")
async def quick() -> str:
    return "quick"


async def put_off(engine: Engine) -> bool:
    return bool(engine.sql("SELECT 1 FROM events WHERE cause = 'release' LIMIT 1"))


@pytest.mark.parametrize("kind", ["steps", "blocks", "swallows"])
async def test_the_next_attempt_waits_until_the_code_of_the_last_one_has_ended(start: Start, kind: str) -> None:
    engine = await start(concurrency=1)
    handle = await engine.enqueue(kind)
    await until(lambda: put_off(engine), "the second attempt to be put off")
    assert len(engine.runtime.runner.lingering) == 1
    assert result(await engine.run("quick")) == "quick", "it holds no slot"
    gate.open()
    done = await engine.end(handle)
    assert (result(done), done.attempt) == (2, 2), "what was put off costs no attempt"
    assert calls == ["attempt 1", "attempt 2"]
    assert max(most) == 1
    await until(lambda: not engine.runtime.runner.lingering, "the end of the thread")


async def test_a_cancel_ends_a_task_that_is_put_off(start: Start) -> None:
    engine = await start()
    handle = await engine.enqueue("steps")
    await until(lambda: put_off(engine), "the second attempt to be put off")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"


async def test_threads_of_steps_make_the_server_unhealthy_as_handlers_do(start: Start) -> None:
    engine = await start(concurrency=50)
    handles = [await engine.enqueue("steps", max_attempts=1) for _ in range(50)]
    for handle in handles:
        assert (await engine.end(handle)).error_type == "timeout"
    assert len(engine.runtime.runner.lingering) == 50
    assert not engine.runtime.runner.healthy
    gate.open()
    await until(lambda: engine.runtime.runner.healthy, "the end of the threads")


async def test_code_that_hangs_for_an_hour_holds_its_task_no_longer() -> None:
    clock = VirtualClock()
    left = lingering.Lingering(clock)
    hung: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left.add("t", hung)
    assert left.holds("t") and not left.holds("other")
    clock.advance(3601)
    assert not left.holds("t")
    assert len(left) == 1, "it is counted all the same"
    hung.set_result(None)
    await until(lambda: len(left) == 0, "its end")
