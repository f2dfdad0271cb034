"""The store of what suspends a task, verb by verb."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quart_app.core.flow import ForChildren, ForSignal, Record, Sleeping
from quart_app.store import statements
from quart_app.store.flow import SqlFlow
from quart_app.store.tasks import SqlStore
from tests.store.flow_kit import LATER, Kit, opened, wait_record
from tests.store.kit import ERROR, Bells, Sql, T, claimed, new_task, open_database
from tests.store.soundness import everything

FENCE = re.compile(r"AND (tasks|t|p)\.fence = value->>'fence'")
STATUS = re.compile(r"AND \+(tasks|t|p)\.status = 'processing'")


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path / "tasks.db") as one:
        yield one


Write = Callable[[SqlFlow, str, int], Awaitable[object]]
WRITES: dict[str, tuple[str, Write]] = {
    "sleep": (
        "suspend_until",
        lambda flow, task, fence: flow.sleep(
            task, fence, Sleeping(Record("sleep-1", "sleep", str(LATER), 1), LATER, 50), LATER
        ),
    ),
    "wait_for_children": (
        "suspend_for_children",
        lambda flow, task, fence: flow.wait_for_children(task, fence, ForChildren(("x",)), LATER),
    ),
    "wait_for_signal": (
        "suspend_for_signal",
        lambda flow, task, fence: flow.wait_for_signal(task, fence, ForSignal(wait_record(), "go"), LATER),
    ),
    "spawn": (
        "enqueue_child",
        lambda flow, task, fence: flow.spawn(
            task, fence, Record("spawn-1", "child", '"x"', 1), [new_task(LATER)], False, LATER, True
        ),
    ),
    "take_signal": (
        "time_out",
        lambda flow, task, fence: flow.take_signal(task, fence, wait_record(), "go", LATER, True, True),
    ),
}


@pytest.mark.parametrize("verb", WRITES)
async def test_a_run_that_lost_its_claim_suspends_and_makes_nothing(kit: Kit, verb: str) -> None:
    old = await claimed(kit.store)
    await kit.store.crash(old.id, old.fence, None, T)
    (new,) = await kit.store.claim({"default": 1}, T)
    before = everything(kit.sql)
    assert not await WRITES[verb][1](kit.flow, old.id, old.fence)
    assert everything(kit.sql) == before
    assert await WRITES[verb][1](kit.flow, new.id, new.fence)
    assert everything(kit.sql) != before


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("guard", [FENCE, STATUS], ids=["fence", "status"])
async def test_a_missing_guard_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, guard: Any
) -> None:
    """The statement's own; what is recorded beside it has guards of its own, see test_guards.py."""
    statement, write = WRITES[verb]
    texts = statements.load("sqlite")
    broken, removed = guard.subn("", texts[statement].text)
    assert removed == 1
    changed = msgspec.structs.replace(texts[statement], text=broken)
    monkeypatch.setattr(statements, "load", lambda dialect: {**texts, statement: changed})
    database = await open_database(tmp_path / "tasks.db", Bells(), synchronous="NORMAL")
    try:
        store, flow, sql = (
            SqlStore(database, "worker-a", Bells()),
            SqlFlow(database, Bells()),
            Sql(tmp_path / "tasks.db"),
        )
        run = await claimed(store)
        await flow.take_signal(run.id, run.fence, wait_record(), "go", T, False, False)
        fence = run.fence
        if guard is FENCE:
            fence -= 1
        else:
            await store.complete(run.id, run.fence, "1", T)
        before = everything(sql)
        try:
            noticed = bool(await write(flow, run.id, fence)) or everything(sql) != before
        except Exception as error:
            noticed = "illegal transition" in str(error) or "CHECK constraint" in str(error)
        assert noticed
    finally:
        await database.close()


@pytest.mark.parametrize("verb", ["sleep", "wait_for_children", "wait_for_signal"])
async def test_a_cancel_that_was_asked_wins_over_a_suspension(kit: Kit, verb: str) -> None:
    run = await claimed(kit.store)
    await kit.store.cancel(run.id, T)
    assert await WRITES[verb][1](kit.flow, run.id, run.fence) == "cancelled"
    assert (await kit.row(run.id)).status == "cancelled"


@pytest.mark.parametrize("verb", ["sleep", "wait_for_children", "wait_for_signal"])
async def test_a_suspension_gives_the_attempt_back_and_clears_crashes(kit: Kit, verb: str) -> None:
    run = await claimed(kit.store)
    await kit.store.crash(run.id, run.fence, None, T, grouped=True)
    (run,) = await kit.store.claim({"default": 1}, T)
    assert run.crashes == 1
    assert await WRITES[verb][1](kit.flow, run.id, run.fence) == "landed"
    row = await kit.row(run.id)
    assert (row.status, row.cause, row.attempt, row.crashes) == ("pending", "suspend", 0, 0)
    assert kit.sql("SELECT * FROM crash_groups") == []


# --- sleeping


async def test_a_sleeper_is_ready_when_its_time_has_come_and_not_before(kit: Kit) -> None:
    run = await claimed(kit.store)
    kit.bells.take()
    await WRITES["sleep"][1](kit.flow, run.id, run.fence)
    assert ("due", LATER) in kit.bells.take()
    assert await kit.store.next_due() == LATER
    assert await kit.store.make_ready(LATER - 1, 9) == 0
    assert await kit.store.make_ready(LATER, 9) == 1


async def test_a_sleep_that_the_clock_has_left_in_the_future_is_planned_again_with_its_record(kit: Kit) -> None:
    run = await claimed(kit.store)
    wait = Sleeping(Record("sleep-1", "sleep", str(T + 10_000), 1), T + 10_000, 10_000)
    await kit.flow.sleep(run.id, run.fence, wait, T)
    assert await kit.store.replan(T - 7_200_000, 9) == 1
    assert (await kit.row(run.id)).run_at == T - 7_190_000
    assert kit.sql("SELECT output FROM steps") == [(str(T - 7_190_000),)]


async def test_a_time_limit_is_planned_again_too_and_a_date_of_its_own_is_not(kit: Kit) -> None:
    run = await claimed(kit.store)
    record = Record("signal:go-1", "wait", str(T + 10_000), 1)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(record, "go", T + 10_000, 10_000), T)
    dated = await claimed(kit.store)
    await kit.flow.sleep(dated.id, dated.fence, Sleeping(Record("sleep-1", "sleep", str(T + 9), 1), T + 9), T)
    assert await kit.store.replan(T - 7_200_000, 9) == 1
    assert [(await kit.row(one.id)).run_at for one in (run, dated)] == [T - 7_190_000, T + 9]
    assert kit.sql("SELECT output FROM steps WHERE type = 'wait'") == [(str(T - 7_190_000),)]


# --- children


async def test_children_are_made_with_their_record_or_not_at_all(kit: Kit) -> None:
    run, ids = await kit.parent(2)
    assert await kit.flow.count_children(run.id) == 2
    again = [new_task(T)]
    record = Record("kids", "children", "[]", 1)
    assert not await kit.flow.spawn(run.id, run.fence, record, again, False, T, False), "the name is taken"
    assert await kit.flow.count_children(run.id) == 2
    assert kit.sql("SELECT depth, held FROM tasks WHERE id IN (?, ?)", *ids) == [(2, 1)] * 2


async def test_the_last_child_wakes_its_parent_whatever_end_it_comes_to(kit: Kit) -> None:
    run, ids = await kit.waiting(4)
    assert (await kit.row(run.id)).waiting_for == "children"
    first, second, third = await kit.run(limit=3)
    await kit.store.complete(first.id, first.fence, "1", LATER)
    await kit.store.fail(second.id, second.fence, ERROR, LATER)
    await kit.store.crash_out(third.id, third.fence, ERROR, LATER)
    assert await kit.run("default") == []
    kit.bells.take()
    assert await kit.store.cancel(ids[3], LATER) == "cancelled"
    assert ("ready", "default", False) in kit.bells.take()
    (woken,) = await kit.run("default")
    assert (woken.id, woken.attempt) == (run.id, 1)
    outcomes = await kit.flow.outcomes(run.id, ids)
    assert [one.status for one in outcomes] == ["completed", "failed", "failed", "cancelled"]


async def test_a_parent_whose_children_have_all_ended_is_ready_at_once(kit: Kit) -> None:
    run, ids = await kit.parent(1)
    (child,) = await kit.run()
    await kit.store.complete(child.id, child.fence, "1", T)
    await kit.flow.wait_for_children(run.id, run.fence, ForChildren(tuple(ids)), T)
    assert [one.id for one in await kit.run("default")] == [run.id]


async def test_a_child_that_runs_again_is_not_waited_for_and_counted_right(kit: Kit) -> None:
    run, ids = await kit.waiting(1)
    await kit.store.cancel(ids[0], T)
    (woken,) = await kit.run("default")
    assert await kit.store.rerun(ids[0], False, LATER)
    assert kit.sql("SELECT total, ended, failed, waits FROM families") == [(1, 0, 0, 0)]
    await kit.flow.wait_for_children(run.id, woken.fence, ForChildren(tuple(ids)), LATER)
    (child,) = await kit.run()
    await kit.store.fail(child.id, child.fence, ERROR, LATER)
    assert [one.id for one in await kit.run("default")] == [run.id]


async def test_tasks_of_others_are_strangers_and_deleted_ones_say_so(kit: Kit) -> None:
    run, ids = await kit.parent(1)
    (child,) = await kit.run()
    await kit.store.complete(child.id, child.fence, "1", T)
    assert await kit.store.delete(ids[0])
    stranger = await claimed(kit.store, queue="other")
    outcomes = await kit.flow.outcomes(run.id, [stranger.id, ids[0]])
    assert [one.status for one in outcomes] == ["stranger", "deleted"]


@pytest.mark.parametrize("end", ["fail", "cancel", "complete"])
async def test_a_parent_takes_its_children_along_unless_it_completed(kit: Kit, end: str) -> None:
    run, ids = await kit.parent(3)
    detached = await kit.spawn(run, 1, detached=True, name="others")
    (running,) = await kit.run(limit=1)
    if end == "fail":
        await kit.store.fail(run.id, run.fence, ERROR, T)
    elif end == "complete":
        await kit.store.complete(run.id, run.fence, "1", T)
    else:
        await kit.store.cancel(run.id, T)
        await kit.store.end_cancelled(run.id, run.fence, T)
    rows, cancelled, asked = 1, [], []
    while rows:
        rows, kinds, ids_asked = await kit.flow.settle_parents(LATER, 2)
        cancelled += kinds
        asked += ids_asked
    assert kit.sql("SELECT * FROM ended_parents") == []
    statuses = [(await kit.row(one)).status for one in [*ids, *detached]]
    if end == "complete":
        assert (cancelled, asked) == ([], [])
        assert statuses == ["processing", "pending", "pending", "pending"]
    else:
        assert (len(cancelled), asked) == (2, [running.id])
        assert statuses == ["processing", "cancelled", "cancelled", "pending"]
    assert kit.sql("SELECT sum(held) FROM tasks") == [(0,)]


async def test_a_parent_that_runs_again_keeps_the_children_that_were_not_cancelled_yet(kit: Kit) -> None:
    run, ids = await kit.parent(2)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    assert await kit.store.rerun(run.id, False, T)
    assert await kit.flow.settle_parents(LATER, 9) == (0, [], [])
    assert [(await kit.row(one)).status for one in ids] == ["pending", "pending"]


async def test_retention_spares_children_of_living_ancestors(kit: Kit) -> None:
    root, (middle_id,) = await kit.parent(1)
    (middle,) = await kit.run()
    leaves = await kit.spawn(middle, 2)
    for leaf in await kit.run():
        await kit.store.complete(leaf.id, leaf.fence, "1", LATER)
    await kit.store.complete(middle.id, middle.fence, "1", LATER)

    async def settle() -> None:
        while (await kit.flow.settle_parents(LATER, 9))[0]:
            pass

    await settle()
    assert await kit.store.prune(LATER + 10, LATER + 10, 99) == 0
    await kit.store.complete(root.id, root.fence, "1", LATER)
    await settle()
    assert await kit.store.prune(LATER + 10, LATER + 10, 99) == 4
    while await kit.store.clear_deleted(100, 10_000):
        pass
    for table in ("tasks", "children", "families", "steps", "deleted_tasks", "ended_parents"):
        assert kit.sql(f"SELECT * FROM {table}") == [], table
    assert middle_id not in leaves


async def test_children_of_a_parent_that_was_deleted_first_are_still_let_go(kit: Kit) -> None:
    run, ids = await kit.parent(1)
    await kit.store.fail(run.id, run.fence, ERROR, T)
    assert await kit.store.delete(run.id)
    while await kit.store.clear_deleted(100, 10_000):
        pass
    assert (await kit.flow.settle_parents(LATER, 9))[1] == ["thumbnail"]
    while (await kit.flow.settle_parents(LATER, 9))[0]:
        pass
    row = await kit.row(ids[0])
    assert row.status == "cancelled"
    while await kit.store.clear_deleted(100, 10_000):
        pass
    assert kit.sql("SELECT * FROM children") == kit.sql("SELECT * FROM families") == []
