"""What a handler says while it runs: progress, log lines, its context, and tasks it makes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import TaskFailed
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.engine.context import PROGRESS_INTERVAL
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

gate = Gate()


@pytest.fixture(autouse=True)
async def fresh_gate(start: Start) -> AsyncIterator[None]:
    """Comes after `start`, so that its end lets every handler go before the engine closes."""
    gate.close()
    yield
    gate.open()


@task("counts")
async def counts(ctx: TaskContext, upto: int, pause: float = 0.0) -> None:
    for number in range(1, upto + 1):
        await ctx.progress(number, upto, f"at {number}")
        await asyncio.sleep(pause)


@task("counts-blocking")
def counts_blocking(ctx: BlockingTaskContext, upto: int) -> None:
    for number in range(1, upto + 1):
        ctx.progress(number, upto, f"at {number}")


@task("progress-then-wait")
async def progress_then_wait(ctx: TaskContext) -> None:
    await ctx.progress(1, 3)
    await ctx.progress(2, 3, "second")
    await gate.wait()


@task("progress-of")
async def progress_of(ctx: TaskContext, done: float | None = None, message: str | None = None) -> None:
    await ctx.progress(done, message=message)


@task("progress-then-fail")
async def progress_then_fail(ctx: TaskContext) -> None:
    await ctx.progress(1, 2, "first")
    await ctx.progress(2, 2, "last")
    raise ValueError("after the last word")


@task("bad-progress")
async def bad_progress(ctx: TaskContext, what: str) -> None:
    await ctx.progress({"nan": float("nan"), "inf": float("inf"), "text": "half"}[what])  # type: ignore[arg-type]


@task("logs")
async def logs(ctx: TaskContext) -> None:
    await ctx.log("plain")
    await ctx.log("with fields", size=3, names=["a", "b"])
    await ctx.log("NUL \x00 and surrogate \ud800", note="x\x00y\udfff")
    await ctx.log("long " * 5000)


@task("logs-blocking")
def logs_blocking(ctx: BlockingTaskContext) -> None:
    ctx.log("from a thread", n=1)


@task("context")
async def context(ctx: TaskContext, x: int) -> dict[str, Any]:
    return {
        "task_id": ctx.task_id,
        "kind": ctx.kind,
        "attempt": ctx.attempt,
        "owner": ctx.owner,
        "args": dict(ctx.args),
        "concurrency": ctx.settings.concurrency,
        "cancelled": ctx.cancelled,
        "logger": ctx.logger.name,
    }


@task("context-blocking")
def context_blocking(ctx: BlockingTaskContext, x: int) -> dict[str, Any]:
    return {
        "task_id": ctx.task_id,
        "kind": ctx.kind,
        "attempt": ctx.attempt,
        "owner": ctx.owner,
        "args": dict(ctx.args),
        "concurrency": ctx.settings.concurrency,
        "cancelled": ctx.cancelled,
        "logger": ctx.logger.name,
    }


@task("child")
async def child(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n + 1


@task("parent")
async def parent(ctx: TaskContext) -> Any:
    by_name = await ctx.enqueue("child", {"n": 1})
    by_kind = await child.enqueue(n=10)
    return [await by_name.result(timeout=20), await by_kind.result(timeout=20)]


@task("parent-blocking")
def parent_blocking(ctx: BlockingTaskContext) -> str:
    return ctx.enqueue("child", {"n": 1}, idempotency_key="the-child").id


# --- progress


async def test_progress_is_written_at_most_five_times_a_second_and_its_last_word_always(engine: Engine) -> None:
    done = await engine.run("counts", {"upto": 300, "pause": 0.004})
    events, _, _ = await engine.history(done)
    at = [event.at for event in events if event.name == "progress"]
    said = [data["done"] for data in await engine.events(done, "progress")]
    assert 3 <= len(said) < 300
    assert said == sorted(said)
    assert (said[0], said[-1]) == (1, 300)
    # The end does not wait for its turn; between all others lies the interval (the wall clock has whole ms).
    assert all(later - earlier >= PROGRESS_INTERVAL * 1000 - 2 for earlier, later in itertools.pairwise(at[:-1]))
    assert (done.done, done.total, done.message) == (300, 300, "at 300")


@pytest.mark.parametrize("kind", ["counts", "counts-blocking"])
async def test_a_burst_of_progress_costs_no_more_writes_than_its_duration_allows(engine: Engine, kind: str) -> None:
    done = await engine.run(kind, {"upto": 200})
    said = [data["done"] for data in await engine.events(done, "progress")]
    assert said[-1] == done.done == 200
    assert done.started_at is not None and done.completed_at is not None
    assert len(said) <= 2 + (done.completed_at - done.started_at) / 1000 / PROGRESS_INTERVAL


async def test_the_last_progress_is_seen_while_the_task_goes_on(engine: Engine) -> None:
    handle = await engine.enqueue("progress-then-wait")

    async def second() -> bool:
        return (await handle.get()).message == "second"

    await until(second, "the progress that was coalesced")
    assert (await handle.get()).status == "processing"
    gate.open()
    assert (await engine.end(handle)).done == 2


async def test_the_last_progress_of_a_task_that_fails_is_kept(engine: Engine) -> None:
    failed = await engine.run("progress-then-fail")
    assert (failed.status, failed.done, failed.message) == ("failed", 2, "last")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"done": 0.5}, (0.5, None)),
        ({"done": 10**15}, (10**15, None)),
        ({"message": "only words"}, (None, "only words")),
        ({"message": "x" * 5000}, (None, "x" * 1000)),
        ({"message": ""}, (None, "")),
    ],
)
async def test_progress_takes_numbers_words_or_both(engine: Engine, args: dict[str, Any], expected: Any) -> None:
    done = await engine.run("progress-of", args)
    assert done.status == "completed"
    assert (done.done, done.message) == expected


@pytest.mark.parametrize("what", ["nan", "inf", "text"])
async def test_progress_that_is_no_finite_number_is_the_handlers_error(engine: Engine, what: str) -> None:
    failed = await engine.run("bad-progress", {"what": what})
    assert (failed.status, failed.error_type) == ("failed", "ValueError")


# --- log


async def test_log_lines_are_in_the_history_with_their_fields(engine: Engine) -> None:
    done = await engine.run("logs")
    assert done.status == "completed"
    plain, fields, cleaned, long = await engine.events(done, "log")
    assert plain == {"message": "plain"}
    assert fields == {"message": "with fields", "fields": {"size": 3, "names": ["a", "b"]}}
    assert cleaned == {"message": "NUL \ufffd and surrogate \ufffd", "fields": {"note": "x\ufffdy\ufffd"}}
    assert long["message"] == ("long " * 5000)[:4096]


async def test_log_lines_go_to_the_servers_log_too(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quart_app.task")
    done = await engine.run("logs-blocking")
    assert await engine.events(done, "log") == [{"message": "from a thread", "fields": {"n": 1}}]
    assert [record.message for record in caplog.records if record.name == "quart_app.task.logs-blocking"] == [
        "from a thread"
    ]


# --- the context, and tasks made by tasks


@pytest.mark.parametrize("kind", ["context", "context-blocking"])
async def test_the_context_tells_a_handler_who_it_is(engine: Engine, kind: str) -> None:
    done = await engine.run(kind, {"x": 1}, owner="somebody")
    assert result(done) == {
        "task_id": done.id,
        "kind": kind,
        "attempt": 1,
        "owner": "somebody",
        "args": {"x": 1},
        "concurrency": 64,
        "cancelled": False,
        "logger": f"quart_app.task.{kind}",
    }


async def test_a_handler_can_make_tasks_and_wait_for_their_results(engine: Engine) -> None:
    assert result(await engine.run("parent", owner="somebody")) == [2, 11]
    owners = engine.sql("SELECT owner FROM tasks WHERE kind = 'child' ORDER BY seq")
    assert owners == [("somebody",), ("",)]  # ctx.enqueue keeps the owner; the kind's own enqueue knows none


async def test_an_idempotency_key_gives_a_replay_the_same_child(engine: Engine) -> None:
    first, second = [result(await engine.run("parent-blocking")) for _ in range(2)]
    assert first == second
    assert engine.sql("SELECT count(*) FROM tasks WHERE kind = 'child'") == [(1,)]


async def test_a_handle_gives_the_result_or_says_why_there_is_none(engine: Engine) -> None:
    assert await (await child.enqueue(n=1)).result(timeout=20) == 2
    with pytest.raises(TaskFailed, match="ValueError: negative"):
        await (await child.enqueue(n=-1)).result(timeout=20)
    late = await child.enqueue_with({"delay": 3600}, n=1)
    with pytest.raises(TimeoutError, match=late.id):
        await late.result(timeout=0.01)
    await engine.runtime.service.cancel(late.id)
    with pytest.raises(TaskFailed, match="cancelled"):
        await late.result()
