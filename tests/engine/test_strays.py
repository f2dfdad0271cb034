"""A row does not stay `processing` when its end cannot be written, or nobody runs it."""

from __future__ import annotations

import pytest

from quart_app import Retry, TaskContext, task
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")

REFUSE = """CREATE TRIGGER refuse BEFORE UPDATE OF status ON tasks WHEN NEW.cause IN ({causes}) BEGIN
  SELECT RAISE(ABORT, 'refused'); END"""


@task("again", max_attempts=3)
async def again(ctx: TaskContext) -> int:
    calls.append("again")
    if len(calls) == 1:
        raise Retry(after=0)
    return ctx.attempt


@task("waits")
async def waits(ctx: TaskContext) -> int:
    calls.append("waits")
    await gate.wait()
    return ctx.attempt


async def look(engine: Engine) -> None:
    await engine.runtime._recovery.give_back_strays(engine.runtime.clock.now())


@pytest.fixture
async def engine(start: Start) -> Engine:
    """One that looks for strays only when the test does: its own first look may come late."""
    engine = await start()
    for loop in engine.runtime._loops:
        if loop._name == "recovery":
            await loop.stop()
    return engine


async def test_an_end_that_the_store_refuses_is_recorded_as_failed(engine: Engine) -> None:
    engine.sql(REFUSE.format(causes="'retry'"))
    failed = await engine.run("again")
    assert (failed.status, failed.error_type, failed.error_retryable) == ("failed", "runner_error", 0)
    assert "could not be recorded" in (failed.error_message or "")


async def test_a_row_that_no_end_can_be_written_to_is_given_back_when_that_is_over(engine: Engine) -> None:
    engine.sql(REFUSE.format(causes="'retry', 'fail'"))
    handle = await engine.enqueue("again")
    await until(lambda: not engine.runtime.runner.runs and calls, "the end of the run")
    await look(engine)
    assert (await handle.get()).status == "processing", "one look is not enough: a claim may be on its way"
    engine.sql("DROP TRIGGER refuse")
    await look(engine)
    done = await engine.end(handle)
    assert (result(done), done.attempt, done.crashes) == (1, 1, 0)
    events, _, _ = await engine.history(done)
    causes = [event.cause for event in events if event.name == "status"]
    assert causes == ["enqueue", "claim", "crash", "claim", "complete"]


async def test_a_cancel_of_a_row_that_nobody_runs_ends_it(engine: Engine) -> None:
    engine.sql(REFUSE.format(causes="'retry', 'fail'"))
    handle = await engine.enqueue("again")
    await until(lambda: not engine.runtime.runner.runs and calls, "the end of the run")
    engine.sql("DROP TRIGGER refuse")
    assert await engine.runtime.service.cancel(handle.id) is False
    await look(engine)
    await look(engine)
    assert (await engine.end(handle)).status == "cancelled"


async def test_a_run_that_is_at_work_is_no_stray(engine: Engine) -> None:
    handle = await engine.enqueue("waits")
    await until(lambda: calls, "the start of the handler")
    for _ in range(3):
        await look(engine)
    gate.open()
    done = await engine.end(handle)
    assert (result(done), done.crashes) == (1, 0)
    assert calls == ["waits"]


async def test_work_of_which_nobody_was_told_is_found(start: Start) -> None:
    """A lost bell costs seconds, never a task."""
    engine = await start()
    runtime = engine.runtime
    heard = runtime.dispatcher.notify
    runtime.dispatcher.notify = lambda queue, suspect=False: None  # type: ignore[method-assign]
    runtime.dispatcher.expect = lambda queue: None  # type: ignore[method-assign]
    handle = await engine.enqueue("waits")
    gate.open()
    runtime.dispatcher.notify = heard  # type: ignore[method-assign]
    await runtime.dispatcher.look(runtime.clock.now())
    assert result(await engine.end(handle)) == 1
