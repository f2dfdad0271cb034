"""Where a handler was, in the history of a task that hung."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quart_app.engine.processes import pool
from quart_app.process.loop_watch import LoopWatch
from tests.engine import hanging
from tests.engine.conftest import Start
from tests.engine.engine import Engine, until


@pytest.fixture
async def engine(start: Start) -> AsyncIterator[Engine]:
    hanging.gate.close()
    yield await start(kinds=hanging.kinds())
    hanging.gate.open()


@pytest.mark.parametrize("kind", ["hangs", "hangs-in-a-thread"])
async def test_a_timeout_leaves_in_the_history_where_the_handler_was(
    engine: Engine, kind: str, short_grace: None
) -> None:
    handle = await engine.enqueue(kind, {"way": "groups"} if kind == "hangs" else {}, timeout=0.3)
    assert (await engine.end(handle)).error_type == "timeout"
    found = await hanging.notes(engine, handle)
    message, where = found[0]
    assert message == "where it was when its time was over"
    assert where[0]["function"] == kind.replace("-", "_")
    assert any(frame["function"] in ("here", "Gate.wait_blocking") for frame in where)
    events, _, _ = await engine.history(handle)
    assert events[-1].name == "status"
    # The thread goes on after its timeout.
    assert [message for message, _ in found[1:]] == (
        ["it ignores that it should end; where it is"] if kind == "hangs-in-a-thread" else []
    )


async def test_an_ignored_cancel_leaves_in_the_history_where_the_handler_is(engine: Engine, short_grace: None) -> None:
    handle = await engine.enqueue("ignores")
    await hanging.frames(engine, handle)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    ((message, where),) = await hanging.notes(engine, handle)
    assert message == "it ignores that it should end; where it is"
    assert [frame["function"] for frame in where[:2]] == ["ignores", "here"]


async def test_a_cancel_that_is_heard_leaves_nothing(engine: Engine) -> None:
    handle = await engine.enqueue("hangs", {"way": "here"})
    await hanging.frames(engine, handle)
    await engine.runtime.service.cancel(handle.id)
    assert (await engine.end(handle)).status == "cancelled"
    assert await hanging.notes(engine, handle) == []


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_child_that_has_to_be_killed_leaves_in_the_history_where_it_was(
    engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KILL_AFTER", 0.3)
    handle = await engine.enqueue("computes", timeout=3 if how == "timeout" else 60)
    await until(lambda: hanging.reported(handle), "the handler's first line")
    if how == "cancel":
        await engine.runtime.service.cancel(handle.id)
    await engine.end(handle)
    ((message, where),) = await hanging.notes(engine, handle)
    assert message == (
        "where it was when its time was over" if how == "timeout" else "it ignores that it should end; where it is"
    )
    assert where[0]["function"] == "computes"


@pytest.mark.parametrize("beside", [False, True])
async def test_a_handler_that_blocks_the_loop_is_in_the_history(
    engine: Engine, beside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stacks = engine.runtime.runner.stacks
    stacks.watch()
    noticed: list[str | None] = []

    def on_blocked(frame: Any) -> str | None:
        noticed.append(stacks.blocked(frame))
        hanging.gate.open()
        return noticed[-1]

    watch = LoopWatch(lambda: None, on_blocked=on_blocked)
    watch.start()
    try:
        handle = await engine.enqueue("blocks", {"beside": beside})
        await engine.end(handle)
    finally:
        watch.stop()
    assert noticed == [handle.id]
    ((message, where),) = await hanging.notes(engine, handle)
    assert message == "it blocks the event loop; where it is"
    names = [frame["function"] for frame in where]
    assert names[0] == ("blocks.<locals>.wait" if beside else "blocks")
    assert "Gate.wait_blocking" in names
    (line,) = [record for record in caplog.records if "the event loop is blocked" in record.getMessage()]
    assert line.task_id == handle.id  # type: ignore[attr-defined]


async def test_a_blocked_loop_without_a_handler_is_nobodys(engine: Engine) -> None:
    engine.runtime.runner.stacks.watch()
    noticed: list[str | None] = []
    done = threading.Event()

    def on_blocked(frame: Any) -> None:
        noticed.append(engine.runtime.runner.stacks.blocked(frame))
        done.set()

    watch = LoopWatch(lambda: None, on_blocked=on_blocked)
    watch.start()
    try:
        assert done.wait(20)
    finally:
        watch.stop()
    assert noticed == [None]
