"""Whatever a handler raises, the row ends `failed` with a short message and the engine runs the next task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from quart_app import NonRetryable, TaskContext, task
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, result


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class NoTextAtAll(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class WrongText(Exception):
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - that is the point


class Bare(BaseException):
    pass


class Derived(asyncio.CancelledError):
    """A library's own idea of being cancelled."""


LongName = type("Long" * 1000, (Exception,), {})
OddName = type("Odd\nName \u202e", (Exception,), {})


def endless() -> NoReturn:
    endless()


def deep_group() -> BaseException:
    group: Exception = ValueError("at the bottom")
    for _ in range(2000):
        group = ExceptionGroup("level", [group])
    return group


def chained() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def recursion() -> BaseException:
    try:
        endless()
    except RecursionError as error:
        return error


ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "plain": (lambda: ValueError("why"), "ValueError"),
    "without a text": (ValueError, "ValueError"),
    "text raises": (NoText, "NoText"),
    "text and repr exit": (NoTextAtAll, "NoTextAtAll"),
    "text is a number": (WrongText, "WrongText"),
    "10 MB of text": (lambda: ValueError("x" * 10_000_000), "ValueError"),
    "10 MB of wide text": (lambda: ValueError("é\U0001f680" * 2_000_000), "ValueError"),
    "NUL and surrogates": (lambda: ValueError("a\x00b\ud800c"), "ValueError"),
    "SystemExit": (lambda: SystemExit(1), "SystemExit"),
    "SystemExit of an object": (lambda: SystemExit(object()), "SystemExit"),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "GeneratorExit": (GeneratorExit, "GeneratorExit"),
    "CancelledError": (lambda: asyncio.CancelledError("mine"), "CancelledError"),
    "a CancelledError of its own": (Derived, "Derived"),
    "MemoryError": (MemoryError, "MemoryError"),
    "TimeoutError": (TimeoutError, "TimeoutError"),
    "BaseException": (lambda: Bare("bare"), "Bare"),
    "ExceptionGroup": (lambda: ExceptionGroup("two", [ValueError("a"), OSError("b")]), "ExceptionGroup"),
    "BaseExceptionGroup": (lambda: BaseExceptionGroup("two", [SystemExit(1), Bare()]), "BaseExceptionGroup"),
    "2000 levels of groups": (deep_group, "ExceptionGroup"),
    "causes in a circle": (chained, "ValueError"),
    "RecursionError": (recursion, "RecursionError"),
    "a long name": (LongName, ("Long" * 1000)[:200]),
    "an odd name": (OddName, "Odd\nName \u202e"),
}


@task("raises")
async def raises(what: str) -> None:
    await asyncio.sleep(0)
    raise ERRORS[what][0]()


@task("raises-blocking")
def raises_blocking(what: str) -> None:
    raise ERRORS[what][0]()


@task("raises-in-step")
async def raises_in_step(ctx: TaskContext, what: str) -> None:
    await ctx.step("step", raises_blocking.function, what)


@task("raises-in-async-step")
async def raises_in_async_step(ctx: TaskContext, what: str) -> None:
    await ctx.step("step", raises.function, what)


@task("raises-in-blocking-step")
def raises_in_blocking_step(ctx: BlockingTaskContext, what: str) -> None:
    ctx.step("step", raises_blocking.function, what)


@task("group", max_attempts=2, backoff=(0.0, 1.0, 0.0), no_retry_on=ValueError)
async def group(what: str) -> None:
    async def fail() -> None:
        raise {"value": ValueError("no number"), "key": KeyError("k"), "final": NonRetryable("over")}[what]

    async with asyncio.TaskGroup() as together:
        together.create_task(fail())
        together.create_task(asyncio.sleep(60))


@task("group-of-steps", max_attempts=2, backoff=(0.0, 1.0, 0.0))
async def group_of_steps(ctx: TaskContext) -> None:
    async with asyncio.TaskGroup() as together:
        together.create_task(ctx.step("set", lambda: {1}))


@task("fine")
async def fine() -> str:
    return "fine"


@task("stop-iteration")
async def stop_iteration() -> None:
    raise StopIteration("as next() raises it")


@task("stop-iteration-blocking")
def stop_iteration_blocking() -> None:
    raise StopIteration("as next() raises it")


@task("stop-iteration-step")
async def stop_iteration_step(ctx: TaskContext) -> None:
    await ctx.step("step", stop_iteration_blocking.function)


@task("stop-async-iteration")
async def stop_async_iteration() -> None:
    raise StopAsyncIteration


@task("cancels-itself")
async def cancels_itself() -> None:
    current = asyncio.current_task()
    assert current is not None
    current.cancel("by my own hand")
    await asyncio.sleep(3600)


@task("wrong-call")
async def wrong_call(ctx: TaskContext) -> None:
    await ctx.no_such_method()  # type: ignore[attr-defined]


@task("wrong-call-blocking")
def wrong_call_blocking(ctx: BlockingTaskContext) -> None:
    ctx.no_such_method()


@pytest.mark.parametrize(
    "kind", ["raises", "raises-blocking", "raises-in-step", "raises-in-async-step", "raises-in-blocking-step"]
)
async def test_every_exception_ends_in_a_failed_row_and_the_next_task_runs(start: Start, kind: str) -> None:
    engine = await start(concurrency=1)
    for what, (_, name) in ERRORS.items():
        failed = await engine.run(kind, {"what": what})
        assert (what, failed.status, failed.error_type) == (what, "failed", name)
        assert failed.error_message is not None
        assert len(failed.error_message.encode()) <= 4096
        _, _, (error,) = await engine.history(failed)
        assert len((error.traceback or "").encode()) <= 4 * 16_384
        assert result(await engine.run("fine")) == "fine"
    assert engine.runtime.runner.runs == {}


async def test_the_message_is_the_start_of_the_errors_text(engine: Engine) -> None:
    assert (await engine.run("raises", {"what": "plain"})).error_message == "why"
    assert (await engine.run("raises", {"what": "10 MB of text"})).error_message == "x" * 4096
    wide = (await engine.run("raises", {"what": "10 MB of wide text"})).error_message
    assert wide is not None
    assert ("é\U0001f680" * 1000).startswith(wide)
    assert 4090 <= len(wide.encode()) <= 4096
    assert (await engine.run("raises", {"what": "NUL and surrogates"})).error_message == "a\ufffdb\ufffdc"


async def test_an_error_without_a_text_says_that_it_has_none(engine: Engine) -> None:
    for what in ("text raises", "text and repr exit", "text is a number"):
        assert "cannot be had" in ((await engine.run("raises", {"what": what})).error_message or "")


@pytest.mark.parametrize(
    ("what", "attempts", "leaf"),
    [("value", 1, "ValueError: no number"), ("key", 2, "KeyError: 'k'"), ("final", 1, "NonRetryable: over")],
)
async def test_a_group_names_its_leaves_and_ends_when_one_of_them_is_final(
    engine: Engine, what: str, attempts: int, leaf: str
) -> None:
    failed = await engine.run("group", {"what": what})
    assert (failed.error_type, failed.error_attempt) == ("ExceptionGroup", attempts)
    assert failed.error_message == f"unhandled errors in a TaskGroup (1 sub-exception): {leaf}"


async def test_an_output_that_is_no_json_is_not_tried_again_in_a_group_either(engine: Engine) -> None:
    failed = await engine.run("group-of-steps")
    assert (failed.error_type, failed.error_attempt) == ("not_json", 1)
    assert "sorted(" in (failed.error_message or "")


async def test_the_traceback_is_in_the_history_and_not_in_the_task(engine: Engine) -> None:
    failed = await engine.run("raises", {"what": "plain"})
    _, _, (error,) = await engine.history(failed)
    assert "raise ERRORS[what][0]()" in (error.traceback or "")
    assert "Traceback" not in (failed.error_message or "")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("stop-iteration", "RuntimeError"),  # what Python makes of a StopIteration that leaves a coroutine
        ("stop-iteration-blocking", "RuntimeError"),
        ("stop-iteration-step", "RuntimeError"),
        ("stop-async-iteration", "StopAsyncIteration"),
        ("wrong-call", "AttributeError"),
        ("wrong-call-blocking", "AttributeError"),
        ("cancels-itself", "CancelledError"),
    ],
)
async def test_errors_that_python_itself_twists_end_in_a_failed_row(engine: Engine, kind: str, name: str) -> None:
    failed = await engine.run(kind)
    assert (failed.status, failed.error_type) == ("failed", name)
    assert result(await engine.run("fine")) == "fine"
