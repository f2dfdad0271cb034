"""The suite can fail: each guard is taken out of a copy of the statements, and a check must notice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from quart_app.store import statements
from quart_app.store.statements import Statement
from quart_app.store.tasks import SqlStore
from tests.store.conform_running import WRITES, unasked_cancels, zombie_writes
from tests.store.kit import ERROR, Bells, Sql, T, claimed, in_status, open_database
from tests.store.soundness import assert_counters_equal_a_real_count, everything

FENCE = re.compile(r"AND (tasks|t)\.fence = value->>'fence'")
STATUS = re.compile(r"AND \+(tasks|t)\.status = 'processing'")

# verb of the store -> the statement of it that carries the guard
GUARDED = {
    "record_step": "record_step",
    "progress": "put_progress",
    "log": "put_event",
    "complete": "complete",
    "complete, short": "complete",
    "retry": "retry",
    "fail": "fail",
    "suspend": "suspend",
    "release": "release",
    "end_cancelled": "end_cancelled",
    "crash": "crash",
    "crash_out": "crash_out",
}

Breaker = pytest.MonkeyPatch
Text = dict[str, Statement]


def without(guard: re.Pattern[str], name: str) -> Text:
    """The statements with one guard gone from one of them."""
    texts = statements.load("sqlite")
    broken, removed = guard.subn("", texts[name].text)
    assert removed == 1, f"{name} has no such guard"
    return {**texts, name: msgspec.structs.replace(texts[name], text=broken)}


@asynccontextmanager
async def broken_store(path: Path, texts: Text, monkeypatch: Breaker) -> AsyncIterator[SqlStore]:
    monkeypatch.setattr(statements, "load", lambda dialect: texts)
    bells = Bells()
    database = await open_database(path, bells, synchronous="NORMAL")
    try:
        yield SqlStore(database, "worker-a", bells)
    finally:
        await database.close()


def test_every_statement_with_a_guard_is_on_this_list() -> None:
    for guard in (FENCE, STATUS):
        found = {name for name, statement in statements.load("sqlite").items() if guard.search(statement.text)}
        # These go with a statement of the list in one transaction; request_cancel is a person's and has no fence.
        companions = {
            "clear_crashes",
            "step_event",
            "put_result",
            "put_error",
            "request_cancel",
            "cancel_running_children",
        }
        companions |= {"cancel_instead"}  # tested below
        companions |= {"enqueue_child", "await_none", "await_children", "count_awaited"}
        companions |= {"suspend_until", "suspend_for_children", "suspend_for_signal", "recorded", "time_out"}
        companions |= {"leave_crash_groups", "forget_crash_groups", "join_crash_group", "solve_crash_groups"}
        assert found - companions == set(GUARDED.values())
    assert GUARDED.keys() == WRITES.keys()


@pytest.mark.parametrize("verb", GUARDED)
async def test_a_write_without_its_fence_guard_is_caught(database_path: Path, monkeypatch: Breaker, verb: str) -> None:
    texts = without(FENCE, GUARDED[verb])
    async with broken_store(database_path, texts, monkeypatch) as store:
        assert verb in await zombie_writes(store, Sql(database_path), [verb])


@pytest.mark.parametrize("verb", GUARDED)
async def test_a_write_without_its_status_guard_is_caught(database_path: Path, monkeypatch: Breaker, verb: str) -> None:
    texts = without(STATUS, GUARDED[verb])
    async with broken_store(database_path, texts, monkeypatch) as store:
        sql = Sql(database_path)
        task = await in_status(store, "completed")
        before = everything(sql)
        try:
            noticed = await WRITES[verb](store, task.id, task.fence) or everything(sql) != before
        except Exception as error:
            noticed = "illegal transition" in str(error)
        assert noticed


@pytest.mark.parametrize("guard", [FENCE, STATUS, re.compile(r"AND tasks\.cancel_requested_at IS NOT NULL")])
async def test_a_lost_guard_of_a_cancel_that_wins_is_caught(
    database_path: Path, monkeypatch: Breaker, guard: re.Pattern[str]
) -> None:
    async with broken_store(database_path, without(guard, "cancel_instead"), monkeypatch) as store:
        assert await unasked_cancels(store)


@pytest.mark.parametrize("name", ["put_result", "put_error"])
async def test_a_document_without_its_fence_guard_is_caught(
    database_path: Path, monkeypatch: Breaker, name: str
) -> None:
    async with broken_store(database_path, without(FENCE, name), monkeypatch) as store:
        sql = Sql(database_path)
        task = await claimed(store)
        before = everything(sql)
        assert not await WRITES["complete"](store, task.id, task.fence + 1)
        assert not await store.fail(task.id, task.fence + 1, ERROR, T)
        assert everything(sql) != before


@pytest.mark.parametrize("name", ["tasks_changed", "tasks_staged", "tasks_deleted"])
async def test_a_lost_trigger_is_noticed_by_the_count(database_path: Path, monkeypatch: Breaker, name: str) -> None:
    async with broken_store(database_path, statements.load("sqlite"), monkeypatch) as store:
        sql = Sql(database_path)
        sql(f"DROP TRIGGER {name}")
        await in_status(store, "pending", delay=1)
        await store.make_ready(T + 1, 9)
        task = await in_status(store, "completed", queue="q")
        await store.delete(task.id)
        with pytest.raises(AssertionError):
            assert_counters_equal_a_real_count(sql)
