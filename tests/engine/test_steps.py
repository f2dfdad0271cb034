"""Steps: run once, recorded as JSON, returned again by a replay; in `async def` and in `def` handlers."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from quart_app import TaskContext, task
from quart_app.core import codec
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[Any] = []
gate = Gate()


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    calls.clear()
    gate.close()
    yield


def note(what: Any) -> Any:
    calls.append(what)
    return what


async def note_async(what: Any) -> Any:
    await asyncio.sleep(0)
    return note(what)


def name_of_thread() -> str:
    return threading.current_thread().name


@task("five", max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def five(ctx: TaskContext, fail_after: int = 99) -> list[Any]:
    note(f"attempt {ctx.attempt}")
    outputs = []
    for number in range(1, 6):
        outputs.append(await ctx.step(f"s{number}", note_async if number % 2 else note, number))
        if number == fail_after and ctx.attempt == 1:
            raise ValueError("once")
    return outputs


@task("five-blocking", max_attempts=2, backoff=(0.0, 1.0, 0.0))
def five_blocking(ctx: BlockingTaskContext, fail_after: int = 99) -> list[Any]:
    note(f"attempt {ctx.attempt}")
    outputs = []
    for number in range(1, 6):
        outputs.append(ctx.step(f"s{number}", note_async if number % 2 else note, number))
        if number == fail_after and ctx.attempt == 1:
            raise ValueError("once")
    return outputs


@task("shapes", max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def shapes(ctx: TaskContext) -> None:
    """The first run and the replay must see the same value."""
    note(await ctx.step("shape", lambda: {"pair": (1, 2), 3: "three", "text": "a\x00b\ud800", "big": 10**999}))
    if ctx.attempt == 1:
        raise ValueError("once")


@task("twice")
async def twice(ctx: TaskContext) -> None:
    await ctx.step("same", note, 1)
    await ctx.step("same", note, 2)


@task("twice-blocking")
def twice_blocking(ctx: BlockingTaskContext) -> None:
    ctx.step("same", note, 1)
    ctx.step("same", note, 2)


@task("step-fails-once", max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def step_fails_once(ctx: TaskContext) -> Any:
    def flaky() -> str:
        note(ctx.attempt)
        if ctx.attempt == 1:
            raise OSError("not yet")
        return "good"

    return await ctx.step("flaky", flaky)


@task("step-name")
async def step_name(ctx: TaskContext, name: Any) -> Any:
    special = {"NUL": "a\x00b", "SURROGATE": "a\ud800b"}  # no args can hold them, but a handler can make them
    return await ctx.step(special.get(name, name) if isinstance(name, str) else name, note, "ran")


@task("thread-of-step")
async def thread_of_step(ctx: TaskContext) -> list[str]:
    return [name_of_thread(), await ctx.step("where", name_of_thread)]


@task("keywords")
async def keywords(ctx: TaskContext) -> Any:
    def function(a: int, *, name: str, fn: str) -> list[Any]:
        return [a, name, fn]

    return await ctx.step("keywords", function, 1, name="x", fn="y")


@task("together")
async def together(ctx: TaskContext) -> Any:
    return await asyncio.gather(*(ctx.step(f"part-{n}", note_async, n) for n in range(20)))


@dataclasses.dataclass
class Invoice:
    total: Decimal
    due: datetime.date


class Span(NamedTuple):
    first: datetime.datetime
    length: datetime.timedelta


def invoice() -> Invoice:
    return Invoice(Decimal("9.90"), datetime.date(2026, 2, 28))


async def span() -> Span:
    return Span(datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.timedelta(hours=1))


def by_id() -> dict[uuid.UUID, tuple[int, ...]]:
    return {uuid.UUID(int=1): (1, 2)}


def wrong() -> datetime.date:
    return "no date"  # type: ignore[return-value]


def only_for_checkers() -> NotThere:  # type: ignore[name-defined]  # noqa: F821
    return (1, 2)


TYPED: dict[str, Any] = {
    "dataclass": invoice,
    "named tuple": span,
    "keys": by_id,
    "partial": functools.partial(invoice),
    "class": functools.partial(Invoice, Decimal(1), datetime.date(2026, 1, 1)),
    "wrong": wrong,
    "unknown": only_for_checkers,
    "bare": lambda: (Decimal(1), 2),
}


@task("typed", max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def typed(ctx: TaskContext) -> None:
    note([await ctx.step(name, fn) for name, fn in TYPED.items()])
    if ctx.attempt == 1:
        raise ValueError("once")


@task("typed-blocking", max_attempts=2, backoff=(0.0, 1.0, 0.0))
def typed_blocking(ctx: BlockingTaskContext) -> None:
    note([ctx.step(name, fn) for name, fn in TYPED.items()])
    if ctx.attempt == 1:
        raise ValueError("once")


@task("typed-result")
async def typed_result(price: Decimal, wait: datetime.timedelta) -> tuple[Decimal, datetime.timedelta]:
    return price, wait


@task("step-output")
async def step_output(ctx: TaskContext, what: str) -> None:
    outputs: dict[str, Any] = {
        "set": {1},
        "nan": float("nan"),
        "large": "x" * 2_000_000,
        "generator": (n for n in "ab"),
    }
    await ctx.step("strange", lambda: outputs[what])


@task("awaitable-of-lambda")
async def awaitable_of_lambda(ctx: TaskContext) -> Any:
    return await ctx.step("lambda", lambda: note_async("through a lambda"))


@task("interrupted")
async def interrupted(ctx: TaskContext) -> Any:
    first = await ctx.step("first", note, "first")
    second = await ctx.step("second", note, "second")
    note("between")
    await gate.wait()
    return [first, second, await ctx.step("third", note, "third")]


@pytest.mark.parametrize("kind", ["five", "five-blocking"])
async def test_each_step_runs_once_and_is_in_the_history_in_its_order(engine: Engine, kind: str) -> None:
    done = await engine.run(kind)
    assert result(done) == [1, 2, 3, 4, 5]
    assert calls == ["attempt 1", 1, 2, 3, 4, 5]
    _, steps, _ = await engine.history(done)
    assert [(step.name, step.output, step.attempt) for step in steps] == [(f"s{n}", str(n), 1) for n in range(1, 6)]
    assert await engine.events(done, "step") == [{"name": f"s{n}"} for n in range(1, 6)]


@pytest.mark.parametrize("kind", ["five", "five-blocking"])
async def test_a_retry_replays_the_handler_and_runs_no_recorded_step_again(engine: Engine, kind: str) -> None:
    done = await engine.run(kind, {"fail_after": 3})
    assert result(done) == [1, 2, 3, 4, 5]
    assert calls == ["attempt 1", 1, 2, 3, "attempt 2", 4, 5]
    _, steps, _ = await engine.history(done)
    assert [step.attempt for step in steps] == [1, 1, 1, 2, 2]


async def test_a_persons_retry_keeps_the_steps_and_a_restart_forgets_them(engine: Engine) -> None:
    handle = await engine.enqueue("five", {"fail_after": 2}, max_attempts=1)
    assert (await engine.end(handle)).status == "failed"
    await engine.runtime.going_back.rerun(handle.id)
    assert (await engine.end(handle)).status == "failed"  # attempt 1 again: the same handler fails in the same place
    assert calls == ["attempt 1", 1, 2, "attempt 1"]
    await engine.runtime.going_back.rerun(handle.id, restart=True)
    assert (await engine.end(handle)).status == "failed"
    assert calls == ["attempt 1", 1, 2, "attempt 1", "attempt 1", 1, 2]


async def test_a_stop_and_a_start_in_the_middle_go_on_after_the_recorded_steps(start: Start) -> None:
    first_life = await start()
    handle = await first_life.enqueue("interrupted")
    await until(lambda: "between" in calls, "the recorded steps")
    await first_life.close()
    gate.open()
    second_life = await start()
    task_row = await second_life.runtime.service.wait(handle.id, 20)
    assert result(task_row) == ["first", "second", "third"]
    assert calls == ["first", "second", "between", "between", "third"]
    assert (task_row.attempt, task_row.crashes) == (1, 0)


async def test_the_first_run_and_the_replay_see_the_same_json(engine: Engine) -> None:
    assert (await engine.run("shapes")).status == "completed"
    first, replayed = calls
    assert first == replayed == {"pair": [1, 2], "3": "three", "text": "a\ufffdb\ufffd", "big": 10**999}


@pytest.mark.parametrize("kind", ["typed", "typed-blocking"])
async def test_a_step_returns_the_type_of_its_annotation_the_first_time_and_replayed(engine: Engine, kind: str) -> None:
    assert (await engine.run(kind)).status == "completed"
    first, replayed = calls
    assert first == replayed
    assert [type(one) for one in first] == [type(one) for one in replayed]
    asked = dict(zip(TYPED, replayed, strict=True))
    assert asked["dataclass"] == asked["partial"] == invoice()
    assert asked["named tuple"] == await span()
    assert asked["keys"] == by_id()
    assert asked["class"] == Invoice(Decimal(1), datetime.date(2026, 1, 1))
    assert (asked["wrong"], asked["unknown"], asked["bare"]) == ("no date", [1, 2], ["1", 2])


async def test_a_handle_gives_the_result_the_type_of_the_kinds_annotation(engine: Engine) -> None:
    handle = await engine.enqueue("typed-result", {"price": "1.50", "wait": "PT5S"})
    assert await handle.result(20) == (Decimal("1.50"), datetime.timedelta(seconds=5))


@pytest.mark.parametrize("kind", ["twice", "twice-blocking"])
async def test_a_name_used_twice_in_one_attempt_says_so(engine: Engine, kind: str) -> None:
    failed = await engine.run(kind)
    assert (failed.status, failed.error_type) == ("failed", "ValueError")
    assert "'same' is used twice" in (failed.error_message or "")
    assert calls == [1]


async def test_the_error_of_a_step_is_raised_and_not_recorded(engine: Engine) -> None:
    done = await engine.run("step-fails-once")
    assert result(done) == "good"
    assert calls == [1, 2]
    _, steps, errors = await engine.history(done)
    assert [(step.name, step.attempt) for step in steps] == [("flaky", 2)]
    assert [(error.type, error.message) for error in errors] == [("OSError", "not yet")]


@pytest.mark.parametrize("name", ["", "x" * 201, "NUL", "SURROGATE", 5, None, ["list"]], ids=repr)
async def test_a_name_that_cannot_be_recorded_is_refused_before_the_step_runs(engine: Engine, name: Any) -> None:
    failed = await engine.run("step-name", {"name": name})
    assert (failed.status, failed.error_type) == ("failed", "ValueError")
    assert calls == []


async def test_odd_names_that_can_be_recorded_are_taken(engine: Engine) -> None:
    for name in ("x" * 200, "send to 'a@b'", "é/ü%\n", "\U0001f680"):
        done = await engine.run("step-name", {"name": name})
        assert result(done) == "ran"
        _, steps, _ = await engine.history(done)
        assert [step.name for step in steps] == [name]


async def test_a_blocking_step_runs_in_a_thread_of_its_own(engine: Engine) -> None:
    of_handler, of_step = result(await engine.run("thread-of-step"))
    assert of_handler == threading.main_thread().name
    assert of_step == "step-where"


async def test_a_steps_arguments_are_passed_whatever_their_names(engine: Engine) -> None:
    assert result(await engine.run("keywords")) == [1, "x", "y"]


async def test_steps_may_run_together(engine: Engine) -> None:
    done = await engine.run("together")
    assert result(done) == list(range(20))
    _, steps, _ = await engine.history(done)
    assert {step.name: codec.loads(step.output) for step in steps} == {f"part-{n}": n for n in range(20)}


async def test_an_awaitable_that_a_sync_function_returns_is_awaited(engine: Engine) -> None:
    assert result(await engine.run("awaitable-of-lambda")) == "through a lambda"


@pytest.mark.parametrize(
    ("what", "error"),
    [("set", "not_json"), ("nan", "not_json"), ("generator", "not_json"), ("large", "result_too_large")],
)
async def test_an_output_that_cannot_be_recorded_fails_the_task(engine: Engine, what: str, error: str) -> None:
    failed = await engine.run("step-output", {"what": what})
    assert (failed.status, failed.error_type, failed.error_retryable) == ("failed", error, 0)
    _, steps, _ = await engine.history(failed)
    assert steps == []
