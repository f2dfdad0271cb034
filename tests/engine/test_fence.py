"""A run whose claim went to somebody else stops and writes nothing. Here the fence is raised by another hand in the
database, as a second server would raise it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import ClaimLost
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.service.tasks import TaskHandle
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("writes", max_attempts=5, backoff=(0.0, 1.0, 0.0))
async def writes(ctx: TaskContext, what: str) -> str:
    await ctx.step("before", calls.append, "before")
    calls.append(f"waits {ctx.attempt}")
    await gate.wait()
    try:
        match what:
            case "step":
                await ctx.step("after", calls.append, "ran the step")
            case "progress":
                await ctx.progress(1, 2)
            case "log":
                await ctx.log("after")
            case "error":
                raise ValueError("an end too")
        if what != "result":
            calls.append("went on")
    except Exception as error:  # what users write; the loss of a claim must pass it
        calls.append(f"caught {type(error).__name__}")
        raise
    return "done"


@task("writes-blocking")
def writes_blocking(ctx: BlockingTaskContext, what: str) -> str:
    calls.append(f"waits {ctx.attempt}")
    gate.wait_blocking()
    try:
        match what:
            case "step":
                ctx.step("after", calls.append, "ran the step")
            case "progress":
                ctx.progress(1, 2)
            case "log":
                ctx.log("after")
        if what != "result":
            calls.append("went on")
    except Exception as error:
        calls.append(f"caught {type(error).__name__}")
        raise
    return "done"


@task("quick")
async def quick() -> str:
    return "quick"


def steal(engine: Engine, handle: TaskHandle) -> None:
    engine.sql("UPDATE tasks SET fence = fence + 1, worker = 'another' WHERE id = ?", handle.id)


def everything_of(engine: Engine) -> dict[str, list[Any]]:
    """The rows a run could write."""
    tables = ("tasks", "steps", "events", "progress", "errors", "results")
    return {table: engine.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


@pytest.mark.parametrize("kind", ["writes", "writes-blocking"])
@pytest.mark.parametrize("what", ["step", "progress", "log", "result", "error"])
async def test_a_run_that_lost_its_claim_writes_nothing_and_frees_its_slot(start: Start, kind: str, what: str) -> None:
    engine = await start(concurrency=1)
    handle = await engine.enqueue(kind, {"what": what})
    await until(lambda: "waits 1" in calls, "the handler at its gate")
    steal(engine, handle)
    before = everything_of(engine)
    gate.open()
    await until(lambda: not engine.runtime.runner.runs, "the end of the run")
    assert everything_of(engine) == before
    assert engine.runtime.runner.refused_writes == 1
    assert "went on" not in calls or what == "error"
    assert not [call for call in calls if call.startswith("caught") and what != "error"]
    assert result(await engine.run("quick")) == "quick"


async def test_the_loss_of_a_claim_is_no_exception_that_handlers_catch() -> None:
    assert not issubclass(ClaimLost, Exception)


async def test_a_lost_run_can_still_be_cancelled_or_stopped_without_a_trace(start: Start) -> None:
    engine = await start()
    handle = await engine.enqueue("writes", {"what": "result"})
    await until(lambda: "waits 1" in calls, "the handler at its gate")
    steal(engine, handle)
    before = everything_of(engine)
    await engine.close()  # interrupts it; the release is refused
    assert everything_of(engine) == before


async def test_the_next_start_gives_the_stolen_task_back(start: Start) -> None:
    first_life = await start()
    handle = await first_life.enqueue("writes", {"what": "result"})
    await until(lambda: "waits 1" in calls, "the handler at its gate")
    steal(first_life, handle)
    await first_life.close()
    gate.open()
    second_life = await start()
    done = await second_life.runtime.service.wait(handle.id, 20)
    assert result(done) == "done"
    assert calls == ["before", "waits 1", "waits 1"]  # the step was recorded; the attempt is not charged
    assert (done.attempt, done.crashes) == (1, 0)


@task("stays")
async def stays(ctx: TaskContext) -> str:
    calls.append(f"waits {ctx.attempt}")
    if ctx.attempt == 1:
        await gate.wait()
    else:
        await asyncio.Event().wait()
    return "done"


async def test_a_run_that_lost_its_claim_leaves_the_next_run_of_its_task_within_reach(start: Start) -> None:
    engine = await start()
    handle = await engine.enqueue("stays")
    await until(lambda: "waits 1" in calls, "the handler at its gate")
    engine.sql("UPDATE tasks SET status = 'pending', cause = 'crash', ready = 1, worker = NULL WHERE id = ?", handle.id)
    engine.runtime.task_ready("default")
    await until(lambda: "waits 2" in calls, "the second run, beside the first")
    gate.open()
    await until(lambda: engine.runtime.runner.refused_writes, "the end of the first run")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"


async def test_two_engines_of_one_folder_cannot_be_open_together(start: Start, tmp_path: Any) -> None:
    from quart_app.core.errors import StoreBusy

    await start()
    with pytest.raises(StoreBusy, match="process"):
        await start()
