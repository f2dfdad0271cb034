"""Which errors are worth another attempt, how many there are, and when the next one starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from quart_app import NonRetryable, Retry, TaskContext, task
from quart_app.core.task import Task
from quart_app.engine.blocking_context import BlockingTaskContext
from quart_app.service.tasks import TaskHandle
from tests.engine.engine import Engine, result, until

attempts: list[int] = []
NO_PAUSE = (0.0, 1.0, 0.0)


@pytest.fixture(autouse=True)
def fresh_attempts() -> Iterator[None]:
    attempts.clear()
    yield


class Flaky(OSError):
    pass


ERRORS: dict[str, type[BaseException]] = {
    "value": ValueError,
    "os": OSError,
    "flaky": Flaky,
    "key": KeyError,
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
}


def fail(attempt: int, what: str, until_attempt: int) -> str:
    attempts.append(attempt)
    if attempt < until_attempt:
        raise ERRORS[what]("try again")
    return f"attempt {attempt}"


@task("any-error", max_attempts=3, backoff=NO_PAUSE)
async def any_error(ctx: TaskContext, what: str = "value", until_attempt: int = 99) -> str:
    return fail(ctx.attempt, what, until_attempt)


@task("any-error-blocking", max_attempts=3, backoff=NO_PAUSE)
def any_error_blocking(ctx: BlockingTaskContext, what: str = "value", until_attempt: int = 99) -> str:
    return fail(ctx.attempt, what, until_attempt)


@task("some-errors", max_attempts=3, backoff=NO_PAUSE, retry_on=(OSError, KeyError), no_retry_on=Flaky)
async def some_errors(ctx: TaskContext, what: str) -> str:
    return fail(ctx.attempt, what, 99)


@task("not-flaky", max_attempts=3, backoff=NO_PAUSE, no_retry_on=OSError)
async def not_flaky(ctx: TaskContext, what: str) -> str:
    return fail(ctx.attempt, what, 99)


@task("one-attempt", backoff=NO_PAUSE)
async def one_attempt(ctx: TaskContext) -> str:
    return fail(ctx.attempt, "value", 99)


@task("non-retryable", max_attempts=9, backoff=NO_PAUSE, retry_on=NonRetryable)
async def non_retryable(ctx: TaskContext) -> None:
    attempts.append(ctx.attempt)
    raise NonRetryable("no use")


@task("retry", max_attempts=3, backoff=NO_PAUSE, no_retry_on=Retry)
async def retry(ctx: TaskContext, after: float | None = None) -> None:
    attempts.append(ctx.attempt)
    raise Retry("please", after=after)


@task("slow-backoff", max_attempts=3, backoff=(1000.0, 2.0, 3000.0))
async def slow_backoff(ctx: TaskContext) -> None:
    attempts.append(ctx.attempt)
    raise ValueError("later")


async def retried(engine: Engine, handle: TaskHandle) -> Task:
    """The row between two attempts."""

    async def waiting() -> Task | None:
        row = await handle.get()
        return row if row.cause == "retry" else None

    found: Task = await until(waiting, "the retry")
    return found


@pytest.mark.parametrize("kind", ["any-error", "any-error-blocking"])
@pytest.mark.parametrize("what", ERRORS)
async def test_each_error_costs_one_attempt_until_none_is_left(engine: Engine, kind: str, what: str) -> None:
    failed = await engine.run(kind, {"what": what})
    assert (failed.status, failed.attempt, failed.max_attempts, failed.error_attempt) == ("failed", 3, 3, 3)
    assert attempts == [1, 2, 3]
    _, _, errors = await engine.history(failed)
    assert [(error.attempt, error.type) for error in errors] == [(n, ERRORS[what].__name__) for n in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["any-error", "any-error-blocking"])
async def test_an_attempt_that_succeeds_completes_the_task_and_hides_its_errors(engine: Engine, kind: str) -> None:
    done = await engine.run(kind, {"until_attempt": 2})
    assert result(done) == "attempt 2"
    assert (done.attempt, done.error_type) == (2, None)
    _, _, errors = await engine.history(done)
    assert [error.attempt for error in errors] == [1]


async def test_without_max_attempts_there_is_one(engine: Engine) -> None:
    assert (await engine.run("one-attempt")).attempt == 1
    assert attempts == [1]


async def test_max_attempts_can_be_set_for_one_task(engine: Engine) -> None:
    assert (await engine.run("one-attempt", max_attempts=4)).attempt == 4
    assert attempts == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "what", "tried"),
    [
        ("some-errors", "os", 3),
        ("some-errors", "key", 3),
        ("some-errors", "value", 1),
        ("some-errors", "flaky", 1),
        ("some-errors", "cancelled", 1),
        ("not-flaky", "value", 3),
        ("not-flaky", "os", 1),
        ("not-flaky", "flaky", 1),
    ],
)
async def test_retry_on_and_no_retry_on_choose_by_the_class(engine: Engine, kind: str, what: str, tried: int) -> None:
    failed = await engine.run(kind, {"what": what})
    assert len(attempts) == failed.attempt == tried
    assert failed.error_retryable == int(tried == 3)


async def test_non_retryable_ends_the_task_at_once_whatever_the_rules_say(engine: Engine) -> None:
    failed = await engine.run("non-retryable")
    assert (failed.attempt, failed.error_type, failed.error_message) == (1, "NonRetryable", "no use")
    assert failed.error_retryable == 0
    assert attempts == [1]


async def test_retry_is_always_tried_again_and_still_counts_as_an_attempt(engine: Engine) -> None:
    failed = await engine.run("retry")
    assert (failed.attempt, failed.error_type, failed.error_message) == (3, "Retry", "please")
    assert attempts == [1, 2, 3]


async def test_retry_after_chooses_the_time_of_the_next_attempt(engine: Engine) -> None:
    before = engine.runtime.clock.now()
    handle = await engine.enqueue("retry", {"after": 600})
    row = await retried(engine, handle)
    assert (row.status, row.attempt) == ("pending", 1)
    assert before + 600_000 <= row.run_at <= engine.runtime.clock.now() + 600_000
    assert (row.error_type, row.error_message) == ("Retry", "please")
    assert attempts == [1]


@pytest.mark.parametrize("after", [-5.0, 0.0, 0.001])
async def test_a_retry_after_the_past_is_tried_at_once(engine: Engine, after: float) -> None:
    assert (await engine.run("retry", {"after": after})).attempt == 3


async def test_a_retry_in_a_million_years_is_brought_down_to_one(engine: Engine) -> None:
    handle = await engine.enqueue("retry", {"after": 1e300})
    row = await retried(engine, handle)
    assert row.run_at <= engine.runtime.clock.now() + 366 * 86_400_000


async def test_a_retry_after_no_number_ends_in_a_row_too(engine: Engine) -> None:
    @task("retry-nan")
    async def retry_nan() -> None:
        raise Retry(after=float("nan"))

    @task("retry-text", max_attempts=2)
    async def retry_text() -> None:
        raise Retry(after="soon")  # type: ignore[arg-type]

    for kind in (retry_nan, retry_text):
        engine.runtime.registry.add(kind)
        handle = await engine.enqueue(kind.name)
        row = await engine.runtime.service.wait(handle.id, 5)
        assert row.status == "failed", kind.name


async def test_the_backoff_has_jitter_below_its_bounds(engine: Engine) -> None:
    handles = [await engine.enqueue("slow-backoff") for _ in range(12)]
    now = engine.runtime.clock.now()
    delays = [(await retried(engine, handle)).run_at - now for handle in handles]
    assert all(delay <= 1_010_000 for delay in delays)
    assert len({delay // 1000 for delay in delays}) > 3  # 12 equal draws of 1000 would be no jitter
    assert attempts == [1] * 12


async def test_a_task_that_waits_for_its_next_attempt_holds_no_slot(engine: Engine) -> None:
    handle = await engine.enqueue("slow-backoff")
    await retried(engine, handle)
    await until(lambda: not engine.runtime.runner.runs, "the slot")


async def test_a_persons_retry_starts_the_count_of_attempts_again(engine: Engine) -> None:
    handle = await engine.enqueue("any-error")
    await engine.end(handle)
    await engine.runtime.going_back.rerun(handle.id)
    again: Any = await engine.end(handle)
    assert (again.status, again.attempt) == ("failed", 3)
    assert attempts == [1, 2, 3, 1, 2, 3]
