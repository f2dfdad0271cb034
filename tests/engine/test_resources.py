"""`@resource`: opened once at the first use, tried again when that fails, closed at the stop in the reverse order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app import NonRetryable, ResourceFailed, TaskContext, resource, task
from quart_app.core.errors import ConfigError
from quart_app.engine.registry import Registry
from quart_app.engine.retry_store_call import WITHIN_RUN
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[Any] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state", "short_grace")


@resource("model")
async def model() -> AsyncIterator[dict[str, int]]:
    calls.append("open model")
    yield {"weight": 7}
    calls.append("close model")


@resource("index")
async def index() -> AsyncIterator[str]:
    calls.append("open index")
    async with asyncio.TaskGroup():  # can be left only by the task that entered it
        yield "the index"
    calls.append("close index")


@resource("slow")
async def slow() -> AsyncIterator[int]:
    calls.append("open slow")
    await gate.wait()
    yield len(calls)
    calls.append("close slow")


@resource("flaky")
async def flaky() -> AsyncIterator[str]:
    calls.append("open flaky")
    if calls.count("open flaky") == 1:
        raise OSError("no such host")
    yield "there"


@resource("hopeless")
async def hopeless() -> AsyncIterator[str]:
    raise NonRetryable("the licence has expired")
    yield ""


@resource("exits")
async def exits() -> AsyncIterator[str]:
    raise SystemExit(3)
    yield ""


@resource("nothing")
async def nothing() -> AsyncIterator[str]:
    if calls == ["never"]:
        yield ""


@resource("hangs-at-its-end")
async def hangs_at_its_end() -> AsyncIterator[str]:
    try:
        yield "open"
        await asyncio.Event().wait()
    finally:
        calls.append("given up")


@resource("deaf")
async def deaf() -> AsyncIterator[str]:
    yield "open"
    while not gate.is_open:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            calls.append("deaf")


@resource("breaks-at-its-end")
async def breaks_at_its_end() -> AsyncIterator[str]:
    yield "open"
    raise ValueError("cannot be closed")


@resource("two-yields")
async def two_yields() -> AsyncIterator[str]:
    try:
        yield "first"
        yield "second"
    finally:
        calls.append("closed")


@resource("context")
async def sees_its_context() -> AsyncIterator[bool]:
    yield WITHIN_RUN.get()


@task("uses", max_attempts=2, backoff=(0.01, 1.0, 0.01), retry_on=ConnectionError)
async def uses(ctx: TaskContext, names: list[str]) -> list[Any]:
    return [await ctx.resource(name) for name in names]


@task("uses-in-a-thread")
def uses_in_a_thread(ctx: TaskContext, name: str) -> Any:
    calls.append("thread")
    return ctx.resource(name)


@task("catches")
async def catches(ctx: TaskContext, name: str) -> str:
    try:
        await ctx.resource(name)
    except ResourceFailed as error:
        return f"{error} | {error.__cause__!r}"
    return "open"


async def test_it_is_opened_at_its_first_use_and_once(start: Start) -> None:
    engine = await start()
    assert calls == []
    for _ in range(2):
        assert result(await engine.run("uses", {"names": ["model"]})) == [{"weight": 7}]
    assert result(await engine.run("uses-in-a-thread", {"name": "model"})) == {"weight": 7}
    assert calls == ["open model", "thread"]
    await engine.close()
    assert calls == ["open model", "thread", "close model"]


async def test_the_last_opened_is_closed_first(start: Start) -> None:
    engine = await start()
    handles = [await engine.enqueue("uses", {"names": ["slow"]})]
    await until(lambda: calls == ["open slow"], "the first to begin")
    await engine.run("uses", {"names": ["model", "index"]})
    gate.open()
    assert result(await engine.end(handles[0])) == [3]
    await engine.close()  # "slow" was open last, although it began first
    assert calls == ["open slow", "open model", "open index", "close slow", "close index", "close model"]


async def test_many_first_uses_at_once_open_it_once(engine: Engine) -> None:
    handles = [await engine.enqueue("uses", {"names": ["slow"]}) for _ in range(20)]
    threads = [await engine.enqueue("uses-in-a-thread", {"name": "slow"}) for _ in range(3)]
    await until(lambda: len(engine.runtime.runner.runs) == 23 and calls.count("thread") == 3, "all to wait")
    gate.open()
    assert [result(await engine.end(handle)) for handle in handles] == [[4]] * 20
    assert [result(await engine.end(handle)) for handle in threads] == [4] * 3
    assert calls.count("open slow") == 1


async def test_a_cancel_of_the_first_user_is_nobody_elses(engine: Engine) -> None:
    first = await engine.enqueue("uses", {"names": ["slow"]})
    await until(lambda: calls == ["open slow"], "the opening to begin")
    second = await engine.enqueue("uses", {"names": ["slow"]})
    await until(lambda: len(engine.runtime.runner.runs) == 2, "the second to wait")
    await engine.runtime.service.cancel(first.id)
    assert (await engine.end(first)).status == "cancelled"
    gate.open()
    assert result(await engine.end(second)) == [1]


async def test_a_thread_that_waits_for_it_can_be_cancelled(engine: Engine) -> None:
    handle = await engine.enqueue("uses-in-a-thread", {"name": "slow"})
    await until(lambda: "open slow" in calls, "the opening to begin")
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    await until(lambda: not len(engine.runtime.runner.lingering), "the thread to end")


async def test_one_that_cannot_be_opened_ends_the_attempt_and_the_next_tries_again(engine: Engine) -> None:
    handle = await engine.enqueue("uses", {"names": ["flaky"]})
    row = await engine.end(handle)
    assert (result(row), row.attempt) == (["there"], 2)  # the kind itself retries nothing but a ConnectionError
    (error,) = (await engine.history(handle))[2]
    assert (error.type, error.message) == (
        "ResourceFailed",
        "resource 'flaky' cannot be opened: OSError: no such host",
    )
    assert calls == ["open flaky", "open flaky"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flaky", "OSError('no such host')"),
        ("exits", "SystemExit(3)"),
        ("nothing", "RuntimeError('it ended before its `yield`')"),
    ],
)
async def test_why_it_cannot_be_opened_is_said(engine: Engine, name: str, said: str) -> None:
    assert result(await engine.run("catches", {"name": name})).endswith(f"| {said}")


async def test_a_resource_may_say_that_trying_again_is_no_use(engine: Engine) -> None:
    row = await engine.run("uses", {"names": ["hopeless"]})
    assert (row.attempt, row.error_type, row.error_message) == (1, "NonRetryable", "the licence has expired")


async def test_an_unknown_name_is_an_error_that_lists_the_known(engine: Engine) -> None:
    row = await engine.run("uses", {"names": ["modle"]})
    assert (row.error_type, row.attempt) == ("LookupError", 1)
    assert row.error_message is not None
    assert row.error_message.startswith("no resource 'modle'; there are: breaks-at-its-end, context, deaf,")


async def test_it_is_opened_in_no_run(engine: Engine) -> None:
    assert result(await engine.run("uses", {"names": ["context"]})) == [False]


async def test_the_stop_does_not_wait_for_one_that_hangs(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    engine = await start(drain_seconds=2.0)  # six resources share it
    names = ["model", "breaks-at-its-end", "hangs-at-its-end", "deaf", "two-yields", "index"]
    await engine.run("uses", {"names": names})
    await engine.close()
    assert calls == ["open model", "open index", "close index", "closed", "deaf", "given up", "close model"]
    told = [(r.levelno, r.getMessage()) for r in caplog.records if "Resource" in r.getMessage()]
    assert told == [
        (logging.ERROR, "<Resource two-yields> has more than one `yield`"),
        (logging.WARNING, "<Resource deaf> was not closed in time"),
        (logging.WARNING, "<Resource hangs-at-its-end> was not closed in time"),
        (logging.ERROR, "<Resource breaks-at-its-end> failed while it was closed"),
    ]


async def test_an_opening_under_way_is_given_up_at_the_stop(start: Start) -> None:
    engine = await start()
    handle = await engine.enqueue("uses", {"names": ["slow"]})
    await until(lambda: calls == ["open slow"], "the opening to begin")
    await engine.close()
    gate.open()
    second = await start()
    row = await second.end(handle)
    assert (result(row), row.attempt, row.crashes) == ([2], 1, 0)
    assert calls == ["open slow", "open slow"]


async def test_nothing_is_opened_after_the_stop(start: Start) -> None:
    engine = await start()
    await engine.close()
    with pytest.raises(ResourceFailed, match="the server stops"):
        await engine.runtime.resources.get("model")


async def not_a_generator() -> None: ...


async def wants_more(ctx: Any) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: resource(model.function), "names it"),  # type: ignore[arg-type]
        (lambda: resource(""), "1 to 100 characters"),
        (lambda: resource("x")(not_a_generator), "not_a_generator is no async generator function"),  # type: ignore[arg-type]
        (lambda: resource("x")(wants_more), "wants_more is called as wants_more()"),  # type: ignore[arg-type]
        (
            lambda: Registry([model, resource("model")(index.function)]),
            "is declared twice: tests.engine.test_resources.model and tests.engine.test_resources.index",
        ),
        (lambda: Registry([index.function]), "is none of @task, @around and @resource"),  # type: ignore[list-item]
    ],
)
def test_what_is_no_resource_is_refused(declare: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        declare()
    assert said in str(raised.value)


def test_the_same_one_in_two_modules_is_one() -> None:
    assert Registry([model, model]).resources == {"model": model}
