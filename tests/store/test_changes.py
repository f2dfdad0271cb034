"""The store of changes of pending tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core.errors import TaskNotFound, VersionChanged, WrongState
from quart_app.core.flow import Record, Sleeping
from quart_app.core.task import STATUSES
from quart_app.store.protocols.going_back import NewArgs, TaskChanges
from tests.store.back_kit import LONG, BackKit
from tests.store.flow_kit import LATER, opened
from tests.store.kit import T, claimed, in_status, new_task, pending
from tests.store.soundness import everything


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[BackKit]:
    async with opened(tmp_path / "tasks.db") as one:
        yield BackKit(one)


async def test_a_pending_task_is_changed(kit: BackKit) -> None:
    task_id = await pending(kit.store, tags=("old", "both"))
    before = await kit.version(task_id)
    kit.bells.take()
    changes = TaskChanges(
        args=NewArgs(LONG), priority=9, queue="other", tags=("both", "new"), max_attempts=7, timeout_ms=5
    )
    await kit.back.change(task_id, changes, None, LATER)
    assert kit.bells.take() == [("changed", task_id), ("ready", "other", False)]
    row = await kit.kit.row(task_id)
    assert (row.args, row.priority, row.queue, row.max_attempts) == (LONG, 9, "other", 7)
    assert (json.loads(row.tags), row.run_at, row.version) == (["both", "new"], T, before + 1)
    assert kit.sql("SELECT timeout_ms FROM tasks") == [(5,)]
    assert await kit.logs(task_id) == [
        {"message": "changed", "fields": {"changed": ["args", "priority", "queue", "tags", "max_attempts", "timeout"]}}
    ]
    await kit.back.change(task_id, TaskChanges(args=NewArgs("{}"), tags=()), None, LATER)
    row = await kit.kit.row(task_id)
    assert (row.args, row.tags, row.priority) == ("{}", None, 9)
    assert [one.id for one in await kit.store.claim({"other": 9, "default": 9}, LATER)] == [task_id]


@pytest.mark.parametrize("delay", [0, 9000])
@pytest.mark.parametrize("run_at", [None, 0, T + 99_000])
async def test_the_counters_stay_right(kit: BackKit, delay: int, run_at: int | None) -> None:
    """The end of the fixture counts."""
    new = new_task(T, delay=delay, delay_ms=delay or None)
    await kit.store.enqueue([new])
    kit.bells.take()
    await kit.back.change(new.id, TaskChanges(queue="other", run_at=run_at), None, LATER)
    ready = not delay if run_at is None else run_at == 0
    due = new.run_at if run_at is None else max(run_at, LATER)
    assert kit.bells.take()[1] == (("ready", "other", False) if ready else ("due", due))
    assert kit.sql("SELECT ready, run_at, delay_ms FROM tasks") == [
        (ready, due, delay or None if run_at is None else None)
    ]
    assert kit.sql("SELECT queue, ready, n FROM counters WHERE n > 0") == [("other", ready, 1)]


@pytest.mark.parametrize("status", [one for one in STATUSES if one != "pending"])
async def test_another_task_is_not_changed(kit: BackKit, status: str) -> None:
    task = await in_status(kit.store, status)
    before = everything(kit.sql)
    with pytest.raises(WrongState, match=status):
        await kit.back.change(task.id, TaskChanges(priority=1), None, LATER)
    with pytest.raises(TaskNotFound):
        await kit.back.change("no-such-id", TaskChanges(priority=1), None, LATER)
    assert everything(kit.sql) == before


async def test_only_the_version_that_is_meant_is_changed(kit: BackKit) -> None:
    task_id = await pending(kit.store)
    old = frozenset({str(await kit.version(task_id))})
    await kit.back.change(task_id, TaskChanges(priority=1), old, LATER)
    before = everything(kit.sql)
    with pytest.raises(VersionChanged):
        await kit.back.change(task_id, TaskChanges(priority=2), old, LATER)
    with pytest.raises(VersionChanged):
        await kit.back.change(task_id, TaskChanges(priority=2), frozenset(), LATER)
    assert everything(kit.sql) == before


async def test_args_stay_when_something_is_recorded(kit: BackKit) -> None:
    run = await kit.recorded("a")
    await kit.store.release(run.id, run.fence, "default", T)
    with pytest.raises(WrongState, match="recorded"):
        await kit.back.change(run.id, TaskChanges(args=NewArgs("{}"), priority=1), None, LATER)
    await kit.back.change(run.id, TaskChanges(priority=1), None, LATER)
    assert (await kit.kit.row(run.id)).args == run.args


async def test_a_sleep_is_moved_with_its_record(kit: BackKit) -> None:
    run = await claimed(kit.store)
    wake = T + 90_000
    await kit.step(run, "sleep-1", 1, T, "sleep", str(T - 5))
    await kit.flow.sleep(run.id, run.fence, Sleeping(Record("sleep-2", "sleep", str(wake), 2), wake, 90_000), T)
    await kit.back.change(run.id, TaskChanges(run_at=LATER + 7), None, LATER)
    assert [step.output for step in await kit.store.steps(run.id)] == [str(T - 5), str(LATER + 7)]
    row = await kit.kit.row(run.id)
    assert (row.run_at, row.waiting_for) == (LATER + 7, "time")


async def test_what_waits_for_something_else_has_no_time_to_move(kit: BackKit) -> None:
    run, _ = await kit.kit.waiting()
    before = everything(kit.sql)
    with pytest.raises(WrongState, match="children"):
        await kit.back.change(run.id, TaskChanges(run_at=LATER), None, LATER)
    assert everything(kit.sql) == before
    await kit.back.change(run.id, TaskChanges(queue="other"), None, LATER)
    for child in await kit.kit.run():
        await kit.store.complete(child.id, child.fence, "1", LATER)
    assert [one.id for one in await kit.store.claim({"other": 1}, LATER)] == [run.id]


async def test_a_change_and_a_claim_at_the_same_time_have_one_order(kit: BackKit) -> None:
    for _ in range(20):
        task_id = await pending(kit.store)
        answers = await asyncio.gather(
            kit.back.change(task_id, TaskChanges(priority=5), None, LATER),
            kit.store.claim({"default": 1}, LATER),
            return_exceptions=True,
        )
        assert answers[0] is None or isinstance(answers[0], WrongState)
        row = await kit.kit.row(task_id)
        assert (row.status, row.priority) == ("processing", 5 if answers[0] is None else 0)
