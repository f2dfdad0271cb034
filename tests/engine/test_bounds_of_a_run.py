"""What one run may heap up: writes on their way, events, steps; and that a replay reads what it asks for alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app import Retry, TaskContext, task
from quart_app.core.task import StepName
from quart_app.engine import context, recorder, steps
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.store.sqlite import database
from tests.engine.engine import Engine, result

AGAIN = (0.0, 1.0, 0.0)  # a backoff of nothing


@task("log-at-once")
async def log_at_once(ctx: TaskContext, lines: int) -> None:
    await asyncio.gather(*(ctx.log("line", n=n) for n in range(lines)))


@task("log-at-once-blocking")
def log_at_once_blocking(ctx: BlockingTaskContext, lines: int) -> None:
    for n in range(lines):
        ctx.log("line", n=n)


@task("talks", max_attempts=2, backoff=AGAIN)
async def talks(ctx: TaskContext, lines: int) -> None:
    for n in range(lines):
        await ctx.log("line", n=n)
    await ctx.progress(ctx.attempt, 2, f"attempt {ctx.attempt}")
    if ctx.attempt == 1:
        raise Retry(after=0.0)


@task("talks-blocking", max_attempts=2, backoff=AGAIN)
def talks_blocking(ctx: BlockingTaskContext, lines: int) -> None:
    for n in range(lines):
        ctx.log("line", n=n)
    ctx.progress(ctx.attempt, 2, f"attempt {ctx.attempt}")
    if ctx.attempt == 1:
        raise Retry(after=0.0)


@task("outputs", max_attempts=2, backoff=AGAIN)
async def outputs(ctx: TaskContext, sizes: list[int], asked: int) -> list[int]:
    found = [
        len(await ctx.step(f"s{n:05}", _text, size)) for n, size in enumerate(sizes) if n < asked or ctx.attempt == 1
    ]
    if ctx.attempt == 1:
        raise Retry(after=0.0)
    return found


@task("outputs-blocking", max_attempts=2, backoff=AGAIN)
def outputs_blocking(ctx: BlockingTaskContext, sizes: list[int], asked: int) -> list[int]:
    found = [len(ctx.step(f"s{n:05}", _text, size)) for n, size in enumerate(sizes) if n < asked or ctx.attempt == 1]
    if ctx.attempt == 1:
        raise Retry(after=0.0)
    return found


def _text(size: int) -> str:
    return "x" * size


async def test_a_run_that_logs_much_at_once_leaves_the_queue_of_all_to_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_WAITING", 2 * recorder.MAX_WRITES)
    talker = await engine.enqueue("log-at-once", {"lines": 3000})
    others = 0
    while not (await talker.get()).ended:
        await engine.enqueue("log-at-once", {"lines": 0}, queue="others")  # refused when the queue is full
        others += 1
    assert others > 0
    logged = engine.sql("SELECT data->>'$.fields.n' FROM events WHERE name = 'log' ORDER BY seq")
    assert logged == [(n,) for n in range(3000)]


@pytest.mark.parametrize("kind", ["talks", "talks-blocking"])
async def test_past_a_number_of_events_lines_and_progress_are_no_longer_kept_and_statuses_are(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(context, "MAX_EVENTS", 10)
    done = await engine.run(kind, {"lines": 20})
    assert done.status == "completed"
    assert (done.done, done.message) == (2, "attempt 2"), "progress is shown all the same"
    lines = await engine.events(done, "log")
    assert [line.get("fields", {}).get("n") for line in lines] == [*range(9), None, None]
    assert [line["message"] for line in lines[9:]] == [context.FULL] * 2, "once in each attempt"
    assert await engine.events(done, "progress") == []
    events, _, _ = await engine.history(done)
    causes = [event.cause for event in events if event.name == "status"]
    assert causes == ["enqueue", "claim", "retry", "claim", "complete"]


@pytest.mark.parametrize("kind", ["talks", "talks-blocking"])
async def test_the_events_of_earlier_attempts_count(engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(context, "MAX_EVENTS", 25)
    lines = await engine.events(await engine.run(kind, {"lines": 15}), "log")
    # 15 and a progress; then 4 events of the status and the 16 are there when the second attempt writes its first.
    assert [line.get("fields", {}).get("n") for line in lines] == [*range(15), *range(4), None]


@pytest.mark.parametrize("kind", ["outputs", "outputs-blocking"])
async def test_a_replay_reads_the_large_outputs_it_asks_for_and_no_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    store = engine.runtime.store
    pages: list[list[StepName]] = []
    read: list[str] = []
    step_names, step_output = store.step_names, store.step_output

    async def names(*args: Any) -> list[StepName]:
        pages.append(await step_names(*args))
        return pages[-1]

    async def output(task_id: str, name: str) -> str | None:
        read.append(name)
        return await step_output(task_id, name)

    monkeypatch.setattr(store, "step_names", names)
    monkeypatch.setattr(store, "step_output", output)
    monkeypatch.setattr(steps, "PAGE", 3)
    sizes = [10, 50_000, steps.SMALL - 2, steps.SMALL - 1, 60_000, 70_000, 20]
    done = await engine.run(kind, {"sizes": sizes, "asked": 5})
    assert result(done) == sizes[:5]
    assert read == ["s00001", "s00003", "s00004"]
    assert [len(page) for page in pages] == [3, 3, 1]
    kept = [step.size for page in pages for step in page if step.output is not None]
    assert kept == [12, steps.SMALL, 22]


async def test_many_small_outputs_are_kept_up_to_a_bound_and_read_beyond_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "KEPT", 250)
    sizes = [98] * 10
    assert result(await engine.run("outputs", {"sizes": sizes, "asked": 10})) == sizes


@pytest.mark.parametrize("kind", ["outputs", "outputs-blocking"])
async def test_the_steps_of_a_task_have_a_size_together_over_all_attempts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(steps, "MAX_STEPS", 0)  # then it is QUART_APP_MAX_RESULT
    most = engine.settings.max_result
    done = await engine.run(kind, {"sizes": [most // 2, most // 2 - 1000], "asked": 2})
    assert done.status == "completed"
    failed = await engine.run(kind, {"sizes": [most // 2, most // 2 - 50], "asked": 2})
    assert (failed.status, failed.error_type, failed.error_retryable) == ("failed", "result_too_large", 0)
    assert failed.error_message == f"the steps of this task are over {most} bytes together"
    assert failed.attempt == 1
    _, recorded, _ = await engine.history(failed)
    assert [step.name for step in recorded] == ["s00000"]


@task("one-more", max_attempts=2, backoff=AGAIN)
async def one_more(ctx: TaskContext, size: int) -> None:
    await ctx.step("first", _text, size)
    if ctx.attempt == 1:
        raise Retry(after=0.0)
    await ctx.step("second", _text, size)


async def test_what_an_earlier_attempt_has_recorded_counts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MAX_STEPS", 0)
    failed = await engine.run("one-more", {"size": engine.settings.max_result * 2 // 3})
    assert (failed.status, failed.error_type, failed.attempt) == ("failed", "result_too_large", 2)


@task("replays", max_attempts=2, backoff=AGAIN)
async def replays(ctx: TaskContext) -> int:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    await asyncio.sleep(0)
    before = turns
    for n in range(10):
        await ctx.step(f"step {n}", int)
    other.cancel()
    if ctx.attempt == 1:
        raise Retry(after=0.0)
    return turns - before


async def test_a_long_replay_gives_others_their_turn(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "AT_ONCE", 2)
    assert result(await engine.run("replays")) == 5
