"""`timeout` bounds one attempt, `expires` the wait for the first one."""

from __future__ import annotations

import asyncio

import pytest

from quart_app import TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state", "short_grace")


@task("sleeps", timeout=0.05)
async def sleeps(ctx: TaskContext) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        calls.append(f"attempt {ctx.attempt} cleaned up, cancelled {ctx.cancelled}")


@task("swallows", timeout=0.05)
async def swallows() -> None:
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            calls.append("swallowed")


@task("answers-late", timeout=0.05)
async def answers_late() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        pass
    return "too late"


@task("polls", timeout=0.05)
def polls(ctx: BlockingTaskContext) -> None:
    while not ctx.cancelled:
        gate.wait_blocking(0.01)
    calls.append("saw it")


@task("ignores", timeout=0.05)
def ignores(ctx: BlockingTaskContext) -> None:
    gate.wait_blocking()


@task("second-attempt-is-quick", timeout=0.2, max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def second_attempt_is_quick(ctx: TaskContext) -> str:
    recorded = await ctx.step("first", lambda: "recorded")
    if ctx.attempt == 1:
        await asyncio.sleep(3600)
    return str(recorded)


@task("waits-for-gate")
async def waits_for_gate() -> None:
    await gate.wait()


@task("expires", expires=0.1)
async def expires() -> str:
    calls.append("ran")
    await asyncio.sleep(0.3)  # past its own expiry, which does not concern a task that has started
    return "done"


@task("quick")
async def quick() -> str:
    return "quick"


async def test_an_attempt_that_takes_too_long_is_cancelled_and_fails_with_timeout(engine: Engine) -> None:
    failed = await engine.run("sleeps")
    assert (failed.status, failed.error_type, failed.error_retryable) == ("failed", "timeout", 1)
    assert "0.05 s" in (failed.error_message or "")
    assert calls == ["attempt 1 cleaned up, cancelled True"]


async def test_the_timeout_can_be_set_for_one_task(engine: Engine) -> None:
    failed = await engine.run("waits-for-gate", timeout=0.03)
    assert failed.error_type == "timeout"
    assert "0.03 s" in (failed.error_message or "")


async def test_a_timeout_is_worth_another_attempt_that_finds_the_steps(engine: Engine) -> None:
    done = await engine.run("second-attempt-is-quick")
    assert (result(done), done.attempt) == ("recorded", 2)
    _, _, errors = await engine.history(done)
    assert [error.type for error in errors] == ["timeout"]


@pytest.mark.parametrize("kind", ["swallows", "ignores"])
async def test_a_handler_that_ignores_its_timeout_is_left_behind_and_its_slot_freed(start: Start, kind: str) -> None:
    engine = await start(concurrency=1)
    failed = await engine.run(kind)
    assert (failed.status, failed.error_type) == ("failed", "timeout")
    assert len(engine.runtime.runner.lingering) == 1
    assert result(await engine.run("quick")) == "quick"
    gate.open()
    await until(lambda: not engine.runtime.runner.lingering, "the end of the handler")


async def test_a_result_that_comes_after_the_timeout_is_too_late(engine: Engine) -> None:
    failed = await engine.run("answers-late")
    assert (failed.status, failed.error_type, failed.result) == ("failed", "timeout", None)


async def test_a_thread_that_looks_at_cancelled_ends_in_time(engine: Engine) -> None:
    failed = await engine.run("polls")
    assert (failed.status, failed.error_type) == ("failed", "timeout")
    assert calls == ["saw it"]
    assert not engine.runtime.runner.lingering


async def test_a_task_that_cannot_start_in_time_expires(start: Start) -> None:
    engine = await start(concurrency=1)
    await engine.status(await engine.enqueue("waits-for-gate"), "processing")
    expired = await engine.run("expires", max_attempts=5)
    assert (expired.status, expired.error_type, expired.error_retryable) == ("failed", "expired", 0)
    assert (expired.attempt, expired.started_at) == (0, None)
    gate.open()
    assert result(await engine.run("quick")) == "quick"
    assert calls == []


async def test_a_task_that_has_started_does_not_expire(engine: Engine) -> None:
    assert result(await engine.run("expires")) == "done"


async def test_a_delay_longer_than_the_expiry_never_runs(engine: Engine) -> None:
    expired = await engine.run("quick", delay=3600, expires=0.05)
    assert (expired.status, expired.error_type) == ("failed", "expired")


async def test_an_expiry_passed_while_the_server_was_down_counts(start: Start) -> None:
    first_life = await start(concurrency=1)
    await first_life.status(await first_life.enqueue("waits-for-gate"), "processing")
    handle = await first_life.enqueue("expires")
    await first_life.close()
    gate.open()
    first_life.sql("UPDATE tasks SET expires_at = 1 WHERE id = ?", handle.id)
    second_life = await start()
    expired = await second_life.runtime.service.wait(handle.id, 20)
    assert (expired.status, expired.error_type) == ("failed", "expired")
    assert calls == []
