"""`@around`: the order, errors before, in and after, waits, threads, cancels, and which kinds they run around."""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from quart_app import NonRetryable, TaskContext, around, task
from quart_app.core.errors import ConfigError
from quart_app.engine.registry import Registry
from tests.engine.engine import Engine, Gate, result

calls: list[Any] = []
gate = Gate()
WHO: ContextVar[str] = ContextVar("who", default="nobody")
pytestmark = pytest.mark.usefixtures("fresh_state", "short_grace")


# --- around every kind of this module


@around
async def outer(ctx: TaskContext) -> AsyncIterator[None]:
    calls.append("outer in")
    ctx.state["trail"] = ["outer"]
    try:
        yield
    except BaseException as error:
        calls.append(f"outer {type(error).__name__}")
        raise
    finally:
        calls.append("outer out")


@around("nested*", "other-name")
async def inner(ctx: TaskContext) -> AsyncIterator[None]:
    calls.append("inner in")
    ctx.state["trail"].append("inner")
    token = WHO.set("inner")
    yield
    WHO.reset(token)
    calls.append("inner out")


@task("nested")
async def nested(ctx: TaskContext) -> list[str]:
    calls.append(f"handler {WHO.get()}")
    return [*ctx.state["trail"], "handler"]


@task("nested-in-a-thread")
def nested_in_a_thread(ctx: TaskContext) -> list[str]:
    calls.append(f"handler {WHO.get()}")
    ctx.state["trail"].append("thread")
    return list(ctx.state["trail"])


@task("without-context")
async def without_context() -> int:
    return 5


async def test_they_nest_in_the_order_of_declaration(engine: Engine) -> None:
    assert result(await engine.run("nested")) == ["outer", "inner", "handler"]
    assert calls == ["outer in", "inner in", "handler inner", "inner out", "outer out"]


async def test_they_run_on_the_loop_around_a_thread(engine: Engine) -> None:
    assert result(await engine.run("nested-in-a-thread")) == ["outer", "inner", "thread"]
    assert calls == ["outer in", "inner in", "handler inner", "inner out", "outer out"]


async def test_patterns_choose_kinds(engine: Engine) -> None:
    assert result(await engine.run("without-context")) == 5
    assert calls == ["outer in", "outer out"]


async def test_built_in_kinds_are_kinds_too(engine: Engine) -> None:
    assert result(await engine.run("add", {"x": 2, "y": 3})) == 5
    assert calls == ["outer in", "outer out"]


async def test_the_state_is_that_of_one_run(engine: Engine) -> None:
    handles = [await engine.enqueue("nested") for _ in range(20)]
    assert [result(await engine.end(handle)) for handle in handles] == [["outer", "inner", "handler"]] * 20


# --- errors


@task("fails", max_attempts=2, backoff=(0.01, 1.0, 0.01))
async def fails() -> None:
    raise ValueError("of the handler")


@around("swallowed*")
async def swallow(ctx: TaskContext) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        calls.append(f"swallowed {type(error).__name__}")


@task("swallowed")
async def swallowed() -> None:
    raise ValueError("still stands")


@task("swallowed-not-json")
async def swallowed_not_json() -> object:
    return object()


@around("translated")
async def translate(ctx: TaskContext) -> AsyncIterator[None]:
    try:
        yield
    except ValueError as error:
        raise NonRetryable("no such customer") from error


@task("translated", max_attempts=5)
async def translated() -> None:
    raise ValueError("customer 17")


@around("refused*")
async def refuse(ctx: TaskContext) -> AsyncIterator[None]:
    if ctx.attempt == 1:
        raise ConnectionError("before the yield")
    yield


@task("refused", max_attempts=2, backoff=(0.01, 1.0, 0.01))
async def refused() -> None:
    calls.append("handler")


@around("broken-end")
async def breaks_at_the_end(ctx: TaskContext) -> AsyncIterator[None]:
    yield
    if ctx.attempt == 1:
        raise OSError("cannot commit")


@task("broken-end", max_attempts=2, backoff=(0.01, 1.0, 0.01))
async def broken_end(ctx: TaskContext) -> int:
    return await ctx.step("once", lambda: calls.append("step") or 7)  # type: ignore[func-returns-value, no-any-return]


@around("twice")
async def yields_twice(ctx: TaskContext) -> AsyncIterator[None]:
    yield
    yield


@task("twice")
async def twice() -> None: ...


@around("never")
async def never_yields(ctx: TaskContext) -> AsyncIterator[None]:
    if ctx.attempt > 5:
        yield


@task("never")
async def never() -> None:
    calls.append("handler")


async def test_the_error_of_each_attempt_is_raised_at_the_yield(engine: Engine) -> None:
    row = await engine.run("fails")
    assert (row.status, row.attempt, row.error_type) == ("failed", 2, "ValueError")
    assert calls == ["outer in", "outer ValueError", "outer out"] * 2


async def test_a_swallowed_error_still_stands(engine: Engine) -> None:
    row = await engine.run("swallowed")
    assert (row.status, row.error_type, row.error_message) == ("failed", "ValueError", "still stands")
    assert calls == ["outer in", "swallowed ValueError", "outer ValueError", "outer out"]


async def test_a_result_that_cannot_be_kept_is_an_error_inside(engine: Engine) -> None:
    assert (await engine.run("swallowed-not-json")).error_type == "not_json"
    assert calls == ["outer in", "swallowed NotJson", "outer NotJson", "outer out"]


async def test_an_error_can_be_replaced(engine: Engine) -> None:
    row = await engine.run("translated")
    assert (row.status, row.attempt, row.error_message) == ("failed", 1, "no such customer")
    assert "outer NonRetryable" in calls


async def test_an_error_before_the_yield_ends_the_attempt(engine: Engine) -> None:
    handle = await engine.enqueue("refused")
    row = await engine.end(handle)
    assert (row.status, row.attempt) == ("completed", 2)
    assert [error.type for error in (await engine.history(handle))[2]] == ["ConnectionError"]
    assert calls == ["outer in", "outer ConnectionError", "outer out", "outer in", "handler", "outer out"]


async def test_an_error_after_the_yield_ends_the_attempt_and_keeps_its_steps(engine: Engine) -> None:
    row = await engine.run("broken-end")
    assert (result(row), row.attempt) == (7, 2)
    assert calls == ["outer in", "step", "outer OSError", "outer out", "outer in", "outer out"]


@pytest.mark.parametrize("kind", ["twice", "never"])
async def test_there_is_one_yield(engine: Engine, kind: str) -> None:
    row = await engine.run(kind)
    assert (row.status, row.error_type) == ("failed", "RuntimeError")
    assert row.error_message is not None
    assert "generator didn't" in row.error_message
    assert "handler" not in calls


# --- declarations


async def plain(ctx: Any) -> None: ...


async def no_context() -> AsyncIterator[None]:
    yield


def sync_generator(ctx: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: around(plain), "plain is no async generator function"),  # type: ignore[arg-type]
        (lambda: around("x")(sync_generator), "sync_generator is no async generator function"),
        (lambda: around(no_context), "no_context is called as no_context(ctx)"),  # type: ignore[arg-type]
        (lambda: around("")(outer.function), "a pattern is the text"),
        (lambda: around("a", 5)(outer.function), "not 5"),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_run_around_a_handler_is_refused(declare: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        declare()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def module_with(name: str, **attributes: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    return module


def test_modules_come_in_their_order_and_each_around_once() -> None:
    first, second, third = (around("a*")(outer.function) for _ in range(3))
    kind = task("a")(plain)
    registry = Registry([kind])
    registry.add_module(module_with("one", z=second, a=third))  # by declaration, not by name
    registry.add_module(module_with("two", imported=third, own=first))
    assert registry.arounds_of(kind) == (second, third, first)
    copied = Registry(registry.declared())
    assert copied.arounds_of(kind) == (second, third, first)


def in_a_child() -> None: ...


def test_one_that_names_a_kind_in_child_processes_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    kind = task("crunch", executor="process")(in_a_child)
    registry = Registry([kind, around("crunch*")(outer.function), outer])
    registry.check_arounds()
    assert registry.arounds_of(kind) == ()
    assert caplog.messages == []
    registry.add(around("crunch")(outer.function))
    with pytest.raises(ConfigError, match="outer cannot run around crunch, whose handler runs in a child process"):
        registry.check_arounds()


def test_a_pattern_that_matches_no_kind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Registry([task("mail-1")(plain), around("mail-*", "mial-*")(outer.function)]).check_arounds()
    assert caplog.messages == ["@around('mial-*'): outer: no kind has such a name"]


def test_the_function_stays_callable() -> None:
    assert inspect.isasyncgen(outer(None))
