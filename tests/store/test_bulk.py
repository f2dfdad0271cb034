"""The store of bulk tasks: which tasks a set has while they change, and acting on many in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quart_app.core.bulk import Action, BulkFilter, BulkSet
from quart_app.core.flow import Record
from quart_app.core.task import STATUSES, Claimed, Status
from quart_app.store.bulk import SqlBulk
from quart_app.store.protocols.bulk import Landed
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import ERROR, Bells, Sql, T, claimed, in_status, pending

LAST = 2**62
# The statuses to which an action applies.
APPLIES: dict[Action, tuple[Status, ...]] = {
    "cancel": ("pending", "processing"),
    "retry": ("failed", "cancelled"),
    "delete": ("completed", "failed", "cancelled"),
}
PIECE = Record("piece-1", "step", '{"done":1}', 1)


@pytest.fixture
def bulk(database: Database, bells: Bells) -> SqlBulk:
    return SqlBulk(database, bells)


@pytest.fixture
def fixed(store: Store, bulk: SqlBulk) -> Callable[..., Any]:
    """Makes a bulk task and its set."""

    async def make(action: Action, **chosen: Any) -> BulkSet:
        seq, event = await bulk.made((await in_status(store, "processing", queue="bulk", kind="bulk")).id)
        return BulkSet(action, BulkFilter(**{"queue": "default", **chosen}), None, seq - 1, event)

    return make


async def ids(bulk: SqlBulk, wanted: BulkSet) -> list[str]:
    found = await bulk.find(wanted, 0, LAST, 1000)
    assert await bulk.count(wanted, 0, LAST) == len(found)
    return [task.id for task in found]


@pytest.mark.parametrize("action", APPLIES)
async def test_a_set_has_the_statuses_of_its_action(
    store: Store, bulk: SqlBulk, fixed: Callable[..., Any], action: Action
) -> None:
    tasks = {status: await in_status(store, status, queue=f"q-{status}") for status in STATUSES}
    for status, task in tasks.items():
        wanted = await fixed(action, queue=f"q-{status}")
        assert await ids(bulk, wanted) == ([task.id] if status in APPLIES[action] else [])
        wanted = await fixed(action, queue=f"q-{status}", status=status)
        assert await ids(bulk, wanted) == ([task.id] if status in APPLIES[action] else [])
        assert await ids(bulk, await fixed(action, queue=f"q-{status}", status="completed")) == (
            [task.id] if status == "completed" and action == "delete" else []
        )


async def test_a_cancel_takes_what_has_started_since_and_not_what_has_ended_or_was_asked(
    store: Store, bulk: SqlBulk, fixed: Callable[..., Any]
) -> None:
    ended = await claimed(store)
    asked = await claimed(store)
    goes_on = await claimed(store)
    starts, stays = await pending(store, priority=9), await pending(store)
    every, waiting = await fixed("cancel"), await fixed("cancel", status="pending")
    running = await fixed("cancel", status="processing")
    (started,) = await store.claim({"default": 1}, T)
    assert started.id == starts
    await store.complete(ended.id, ended.fence, "1", T)
    await store.cancel(asked.id, T)
    assert await ids(bulk, every) == [goes_on.id, starts, stays]
    assert await ids(bulk, waiting) == [starts, stays], "it waited when the set was fixed"
    assert await ids(bulk, running) == [goes_on.id]
    # It has failed and was retried meanwhile: somebody wants it.
    await store.fail(started.id, started.fence, ERROR, T)
    assert await store.rerun(starts, False, T)
    assert await ids(bulk, every) == [goes_on.id, stays]


@pytest.mark.parametrize("action", ["retry", "delete"])
async def test_what_has_changed_since_is_in_no_set_of_ended_tasks(
    store: Store, bulk: SqlBulk, fixed: Callable[..., Any], action: Action
) -> None:
    tasks = [await in_status(store, "failed") for _ in range(3)]
    running = await claimed(store)
    wanted = await fixed(action)
    assert await ids(bulk, wanted) == [task.id for task in tasks]
    assert await store.rerun(tasks[0].id, False, T)
    (again,) = await store.claim({"default": 1}, T)
    await store.fail(again.id, again.fence, ERROR, T)
    await store.fail(running.id, running.fence, ERROR, T)
    await store.delete(tasks[1].id)
    await in_status(store, "failed")
    assert await ids(bulk, wanted) == [tasks[2].id], "failed again, failed later, deleted, made later: not in it"


async def test_ranges_have_each_task_once(store: Store, bulk: SqlBulk, fixed: Callable[..., Any]) -> None:
    made = [await pending(store, tags=("a",)) for _ in range(10)]
    for chosen in ({}, {"tag": "a"}):
        wanted = await fixed("cancel", **chosen)
        found: list[str] = []
        for low in range(0, wanted.until, 3):
            part = await bulk.find(wanted, low, low + 3, 1000)
            assert await bulk.count(wanted, low, low + 3) == len(part)
            found += [task.id for task in part]
        assert found == made
        assert [task.id for task in await bulk.find(wanted, 0, LAST, 4)] == made[:4]


@pytest.mark.parametrize("chosen", [{"owner": "ann"}, {"owner": ""}, {"owner": None}])
async def test_a_set_is_of_one_owner_or_of_all(
    store: Store, bulk: SqlBulk, fixed: Callable[..., Any], chosen: dict[str, Any]
) -> None:
    made = {owner: await pending(store, owner=owner) for owner in ("ann", "bob", "")}
    wanted = await fixed("cancel")
    wanted = BulkSet("cancel", wanted.filter, chosen["owner"], wanted.until, wanted.event)
    assert await ids(bulk, wanted) == (list(made.values()) if chosen["owner"] is None else [made[chosen["owner"]]])


async def act(
    bulk: SqlBulk, run: Claimed, action: Action, ids: list[str], record: Record = PIECE
) -> tuple[Any, list[Landed]]:
    told: list[Landed] = []
    return await bulk.act(run.id, run.fence, action, ids, record, T, False, told.append), told


async def test_a_piece_and_its_record_are_one(store: Store, bulk: SqlBulk, bells: Bells, sql: Sql) -> None:
    running = await claimed(store, queue="other")
    waiting = await pending(store)
    run = await in_status(store, "processing", queue="bulk")
    bells.take()
    assert await act(bulk, run, "cancel", [running.id, waiting]) == (
        "landed",
        [Landed((waiting,), (running.id,))],
    )
    assert {("changed", task_id) for task_id in (run.id, running.id, waiting)} <= set(bells.take())
    assert [step.name for step in await store.steps(run.id)] == ["piece-1"]
    assert sql("SELECT status FROM tasks WHERE id = ?", waiting) == [("cancelled",)]
    assert sql("SELECT cancel_requested_at FROM tasks WHERE id = ?", running.id) == [(T,)]


async def test_when_a_task_has_changed_nothing_is_written_and_the_others_are_named(
    store: Store, bulk: SqlBulk, sql: Sql
) -> None:
    failed = [await in_status(store, "failed") for _ in range(3)]
    run = await in_status(store, "processing", queue="bulk")
    await store.delete(failed[1].id)
    answer, told = await act(bulk, run, "retry", [task.id for task in failed])
    assert (answer, told) == (frozenset({failed[0].id, failed[2].id}), [])
    assert await store.steps(run.id) == []
    assert sql("SELECT count(*) FROM tasks WHERE status = 'failed'") == [(2,)]
    assert (await act(bulk, run, "retry", sorted(answer)))[0] == "landed"
    second = Record("piece-2", "step", "1", 2)
    assert (await act(bulk, run, "retry", sorted(answer), second))[0] == frozenset(), "nothing is done twice"
    assert (await act(bulk, run, "retry", [], second))[0] == "landed", "a piece may be empty"


async def test_a_run_that_has_lost_its_claim_does_nothing(store: Store, bulk: SqlBulk, sql: Sql) -> None:
    failed = await in_status(store, "failed")
    run = await in_status(store, "processing", queue="bulk")
    await store.release(run.id, run.fence, "bulk", T)
    for again in (False, True):
        if again:
            await SqlStore(bulk._db, "worker-b", Bells()).claim({"bulk": 1}, T)
        assert await act(bulk, run, "retry", [failed.id]) == ("lost", [])
    assert sql("SELECT status FROM tasks WHERE id = ?", failed.id) == [("failed",)]
