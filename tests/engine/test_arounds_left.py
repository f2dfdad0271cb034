"""`@around` when a handler does not simply end: waits, cancels, time limits, stops; in threads, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app import TaskContext, around, task
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state", "short_grace")


@around
async def outer(ctx: TaskContext) -> AsyncIterator[None]:
    calls.append("outer in")
    try:
        yield
    except BaseException as error:
        calls.append(f"outer {type(error).__name__}")
        raise
    finally:
        calls.append("outer out")


# --- waits


@around("swallowed*")
async def swallow(ctx: TaskContext) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        calls.append(f"swallowed {type(error).__name__}")


@task("swallowed-sleep")
async def swallowed_sleep(ctx: TaskContext) -> str:
    await ctx.sleep(1.1)
    return "rested"


@task("rests")
async def rests(ctx: TaskContext) -> int:
    calls.append(f"handler {ctx.attempt}")
    ctx.state["runs"] = ctx.state.get("runs", 0) + 1
    await ctx.sleep(1.1)
    return int(ctx.state["runs"])


@task("rests-in-a-thread")
def rests_in_a_thread(ctx: TaskContext) -> int:
    calls.append(f"handler {ctx.attempt}")
    ctx.sleep(1.1)  # type: ignore[unused-coroutine]
    return 1


@around("later")
async def waits_itself(ctx: TaskContext) -> AsyncIterator[None]:
    await ctx.sleep(1.1, name="pause")
    ctx.state["token"] = await ctx.step("token", lambda: 17)
    yield


@task("later")
async def later(ctx: TaskContext) -> int:
    return int(ctx.state["token"])


@around("breaks-while-leaving*")
async def breaks_while_leaving(ctx: TaskContext) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if ctx.attempt == 1 and "attempted" not in calls:
            calls.append("attempted")
            raise OSError("cannot roll back")


@task("breaks-while-leaving", max_attempts=2, backoff=(0.01, 1.0, 0.01))
async def leaves(ctx: TaskContext) -> str:
    await ctx.sleep(1.1)
    return "rested"


@task("breaks-while-leaving-swallowed")
async def swallows_and_leaves(ctx: TaskContext) -> None:
    calls.append("attempted")
    try:
        await ctx.sleep(1.1)
    except BaseException:
        raise ValueError("swallowed") from None


@pytest.mark.parametrize("kind", ["rests", "rests-in-a-thread"])
async def test_a_wait_leaves_them_and_the_wake_up_enters_them_again(engine: Engine, kind: str) -> None:
    handle = await engine.enqueue(kind)
    await until(lambda: not engine.runtime.runner.runs and "outer out" in calls, "the task to be asleep")
    once = ["outer in", "handler 1", "outer Suspended", "outer out"]
    assert calls == once
    assert (await handle.get()).status == "pending"
    assert result(await engine.end(handle)) == 1
    assert calls == [*once, "outer in", "handler 1", "outer out"]


async def test_a_wait_that_one_swallows_still_stands(engine: Engine) -> None:
    assert result(await engine.run("swallowed-sleep")) == "rested"
    assert calls == ["outer in", "swallowed Suspended", "outer Suspended", "outer out", "outer in", "outer out"]


async def test_one_may_wait_and_record_steps_itself(engine: Engine) -> None:
    handle = await engine.enqueue("later")
    assert result(await engine.end(handle)) == 17
    assert [step.name for step in (await engine.history(handle))[1]] == ["pause", "token"]


async def test_its_own_error_while_it_leaves_for_a_wait_ends_the_attempt(engine: Engine) -> None:
    handle = await engine.enqueue("breaks-while-leaving")
    row = await engine.end(handle)
    assert (result(row), row.attempt) == ("rested", 2)
    assert [error.type for error in (await engine.history(handle))[2]] == ["OSError"]


async def test_a_handler_that_swallows_its_wait_is_told_so_still(engine: Engine) -> None:
    assert (await engine.run("breaks-while-leaving-swallowed")).error_type == "suspension_swallowed"


# --- cancel, timeout, stop


@task("hangs", timeout=60)
async def hangs() -> None:
    calls.append("handler")
    await gate.wait()


@task("hangs-in-a-thread", max_attempts=1)
def hangs_in_a_thread(ctx: TaskContext) -> None:
    calls.append("handler")
    while not ctx.cancelled:
        gate.wait_blocking(0.01)
    calls.append("thread ends")


@task("deaf-thread")
def deaf_thread() -> None:
    calls.append("handler")
    gate.wait_blocking()
    calls.append("thread ends")


@around("late-*")
async def hangs_before(ctx: TaskContext) -> AsyncIterator[None]:
    calls.append("hangs")
    await gate.wait()
    yield


@task("late-thread")
def late_thread() -> None:
    calls.append("handler")


@pytest.mark.parametrize("kind", ["hangs", "hangs-in-a-thread"])
async def test_a_cancel_leaves_them(engine: Engine, kind: str) -> None:
    handle = await engine.enqueue(kind)
    await until(lambda: "handler" in calls, "the handler to run")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    if kind == "hangs":
        assert calls == ["outer in", "handler", "outer CancelledError", "outer out"]
    else:
        assert calls == ["outer in", "handler", "thread ends", "outer out"]


async def test_a_timeout_leaves_them(engine: Engine) -> None:
    handle = await engine.enqueue("hangs", timeout=0.2)
    assert (await engine.end(handle)).error_type == "timeout"
    assert calls == ["outer in", "handler", "outer CancelledError", "outer out"]


async def test_they_stay_around_a_thread_that_is_left_behind(engine: Engine) -> None:
    handle = await engine.enqueue("deaf-thread")
    await until(lambda: "handler" in calls, "the handler to run")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    assert calls == ["outer in", "handler"]  # what they opened is still in use
    gate.open()
    await until(lambda: not len(engine.runtime.runner.lingering), "the thread to end")
    assert calls == ["outer in", "handler", "thread ends", "outer out"]


async def test_one_that_hangs_before_a_thread_is_cancelled(engine: Engine) -> None:
    handle = await engine.enqueue("late-thread")
    await until(lambda: "hangs" in calls, "the around to hang")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    assert calls == ["outer in", "hangs", "outer CancelledError", "outer out"]
    assert len(engine.runtime.runner.lingering) == 0


async def test_a_stop_leaves_them_and_the_next_start_enters_them_again(start: Start) -> None:
    first = await start()
    handle = await first.enqueue("hangs")
    await until(lambda: "handler" in calls, "the handler to run")
    await first.close()
    assert calls == ["outer in", "handler", "outer CancelledError", "outer out"]
    gate.open()
    second = await start()
    assert (await second.end(handle)).status == "completed"
    assert calls[4:] == ["outer in", "handler", "outer out"]
