"""Storage trouble costs a run time, not work: every door of the context asks again until the store answers."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import StoreUnavailable
from quart_app.engine.blocking_context import BlockingTaskContext
from tests.engine.conftest import Start
from tests.engine.engine import Engine, Gate, result, until

calls: list[str] = []
gate = Gate()
pytestmark = pytest.mark.usefixtures("fresh_state")


@task("writes")
async def writes(ctx: TaskContext, what: str) -> str:
    calls.append("started")
    await gate.wait()
    match what:
        case "step":
            await ctx.step("s", lambda: 1)
        case "progress":
            await ctx.progress(1, 2)
        case "log":
            await ctx.log("line")
        case "enqueue":
            await ctx.enqueue("quick")
        case "kind.enqueue":
            await quick.enqueue()
    return what


@task("writes-blocking")
def writes_blocking(ctx: BlockingTaskContext) -> str:
    calls.append("started")
    gate.wait_blocking()
    ctx.enqueue("quick")
    return "enqueue"


@task("reads")
async def reads(ctx: TaskContext) -> list[dict[str, Any]]:
    return await ctx.query("report_users", after=0, limit=1)


@task("quick")
async def quick() -> None:
    pass


@contextlib.contextmanager
def held_by_another(engine: Engine) -> Iterator[None]:
    """Another program has the database locked for writing."""
    with contextlib.closing(sqlite3.connect(engine.settings.database_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@pytest.fixture
async def impatient(start: Start) -> Engine:
    """An engine whose writer does not wait for another program's lock."""
    engine = await start()
    await engine.runtime._db._writer.execute_fetchall("PRAGMA busy_timeout = 0")
    return engine


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        *(("writes", {"what": what}) for what in ("step", "progress", "log", "enqueue", "kind.enqueue", "nothing")),
        ("writes-blocking", {}),
    ],
)
async def test_a_locked_database_costs_a_handler_time_and_no_attempt(
    impatient: Engine, kind: str, args: dict[str, Any]
) -> None:
    engine = impatient
    handle = await engine.enqueue(kind, args)
    await until(lambda: calls, "the start of the handler")
    with held_by_another(engine):
        gate.open()
        await until(lambda: engine.runtime._db.trouble, "a write that failed")
    done = await engine.end(handle)
    assert (result(done), done.attempt, done.crashes) == (args.get("what", "enqueue"), 1, 0)
    made = engine.sql("SELECT count(*) FROM tasks WHERE kind = 'quick'")
    assert made == [(int("enqueue" in result(done)),)]


async def test_a_read_that_fails_is_made_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await start()
    tried: list[object] = []
    read: Callable[..., Awaitable[Any]] = engine.runtime._reports.query

    async def fails_twice(*args: Any) -> Any:
        tried.append(args)
        if len(tried) < 3:
            raise StoreUnavailable("the store cannot read: disk I/O error")
        return await read(*args)

    monkeypatch.setattr(engine.runtime._reports, "query", fails_twice)
    assert [row["id"] for row in result(await engine.run("reads"))] == [1]
    assert len(tried) == 3
