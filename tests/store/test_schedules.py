"""The store of the schedules: definitions under their revision, fires that are made at most once."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec
import pytest

from quart_app.core.schedule import FIRES_KEPT, Schedule
from quart_app.core.task import TaskFilter
from quart_app.store.protocols.tasks import Store
from quart_app.store.schedules import SqlSchedules
from quart_app.store.sqlite.database import Database
from tests.store.kit import Bells, Sql, T, claimed, new_task

MINUTE = 60_000


@pytest.fixture
def schedules(store: Store, database: Database, bells: Bells) -> SqlSchedules:
    return SqlSchedules(database, bells)


def schedule(name: str = "s", **changes: Any) -> Schedule:
    given: dict[str, Any] = {"kind": "thumbnail", "every_ms": MINUTE, "created_at": T, "next_at": T}
    return Schedule(name=name, **{**given, **changes})


async def made(schedules: SqlSchedules, name: str = "s", **changes: Any) -> Schedule:
    assert await schedules.add_schedule(schedule(name, **changes), 100)
    found = await schedules.get_schedule(schedule(name, **changes).key)
    assert found is not None
    return found


async def test_what_was_added_is_read_as_it_was_and_rings(schedules: SqlSchedules, bells: Bells) -> None:
    wanted = schedule(owner="ann", args='{"url":"…"}', cron="0 * * * *", every_ms=None, timezone="Europe/Paris")
    assert await schedules.add_schedule(wanted, 100)
    assert await schedules.get_schedule("ann/s") == wanted
    assert bells.take() == [("schedule", T)]
    assert await schedules.get_schedule("other") is None


async def test_an_owner_uses_a_name_once_and_has_a_quota(schedules: SqlSchedules, bells: Bells) -> None:
    await made(schedules, "a", owner="ann")
    assert not await schedules.add_schedule(schedule("a", owner="ann"), 100)
    assert await schedules.add_schedule(schedule("a", owner="bob"), 100)
    assert await schedules.add_schedule(schedule("a"), 100)
    assert [one.key for one in await schedules.schedules_named("a")] == ["a", "ann/a"], "two are enough to see several"
    assert await schedules.add_schedule(schedule("b", owner="ann"), 2)
    bells.take()
    assert not await schedules.add_schedule(schedule("c", owner="ann"), 2)
    assert bells.take() == []
    assert await schedules.add_schedule(schedule("c", owner="bob"), 2)


async def test_what_one_does_to_a_schedule_is_not_done_to_anothers_of_the_name(schedules: SqlSchedules) -> None:
    ann, bob = await made(schedules, owner="ann"), await made(schedules, owner="bob")
    assert await schedules.change_schedule(msgspec.structs.replace(ann, kind="other"), planned=False)
    assert await schedules.fire(bob, [(T, new_task())], T + MINUTE) == "fired"
    assert await schedules.made_fires(bob.key, [T]) == {T}
    assert await schedules.made_fires(ann.key, [T]) == set()
    assert await schedules.delete_schedule(bob.key)
    left = await schedules.get_schedule(ann.key)
    assert left is not None
    assert (left.kind, left.next_at) == ("other", T)


async def test_at_the_quota_many_at_once_make_no_more(schedules: SqlSchedules) -> None:
    landed = await asyncio.gather(*(schedules.add_schedule(schedule(f"s{n}"), 7) for n in range(20)))
    assert sum(landed) == 7


async def test_listings_go_by_owner_and_name(schedules: SqlSchedules) -> None:
    for name, owner in (("b", "ann"), ("a", "bob"), ("c", "ann")):
        await made(schedules, name, owner=owner)
    assert [one.key for one in await schedules.find_schedules(None, "", 9)] == ["ann/b", "ann/c", "bob/a"]
    assert [one.name for one in await schedules.find_schedules("ann", "", 9)] == ["b", "c"]
    assert [one.key for one in await schedules.find_schedules(None, "ann/b", 1)] == ["ann/c"]


async def test_a_change_lands_on_the_revision_it_was_made_from(schedules: SqlSchedules) -> None:
    before = await made(schedules)
    changed = msgspec.structs.replace(before, kind="other", next_at=T + 5)
    assert await schedules.change_schedule(changed, planned=False)
    after = await schedules.get_schedule("s")
    assert after is not None
    assert (after.kind, after.next_at, after.revision) == ("other", T, 2)
    assert not await schedules.change_schedule(changed, planned=True)
    paused = msgspec.structs.replace(after, paused=True, next_at=None)
    assert await schedules.change_schedule(paused, planned=True)
    assert await schedules.due_schedules(T + 9 * MINUTE, 9) == []
    assert await schedules.next_fire() is None


async def test_those_of_the_code_come_stay_change_and_go(schedules: SqlSchedules, sql: Sql) -> None:
    await made(schedules, "mine")
    code = schedule("a", source="code")
    assert await schedules.declare_schedules([code, schedule("b", source="code"), schedule("mine", source="code")]) == [
        "mine"
    ]
    assert [(one.name, one.source) for one in await schedules.find_schedules(None, "", 9)] == [
        ("a", "code"),
        ("b", "code"),
        ("mine", "api"),
    ]
    sql("UPDATE schedules SET next_at = 7 WHERE name = 'a'")
    sql("UPDATE schedules SET paused = 1, next_at = NULL WHERE name = 'b'")
    again = [schedule(name, source="code", next_at=T + MINUTE, kind="new") for name in ("a", "b")]
    assert await schedules.declare_schedules(again) == []
    found = await schedules.find_schedules(None, "", 9)
    assert [(one.kind, one.next_at, one.paused) for one in found[:2]] == [("new", 7, False), ("new", None, True)]
    other_plan = schedule("a", source="code", every_ms=5000, next_at=T + 9)
    await schedules.declare_schedules([other_plan])
    assert [(one.name, one.next_at) for one in await schedules.find_schedules(None, "", 9)] == [
        ("a", T + 9),
        ("mine", T),
    ]
    await schedules.declare_schedules([])
    assert [one.name for one in await schedules.find_schedules(None, "", 9)] == ["mine"]


async def test_only_those_of_the_api_are_deleted(schedules: SqlSchedules) -> None:
    await schedules.declare_schedules([schedule("code", source="code")])
    await made(schedules, "api")
    assert [await schedules.delete_schedule(name) for name in ("api", "api", "code", "none")] == [
        *(True, False, False, False)
    ]


# --- fires


async def test_a_fire_its_task_and_the_next_time_land_together_and_ring(
    schedules: SqlSchedules, store: Store, bells: Bells, sql: Sql
) -> None:
    one = await made(schedules)
    bells.take()
    task = new_task(queue="q", args='{"url":"' + "x" * 1000 + '"}', tags=("schedule:s",))
    assert await schedules.fire(one, [(T, task)], T + MINUTE) == "fired"
    assert bells.take() == [("ready", "q", False)]
    assert sql("SELECT * FROM fires") == [("s", T, task.id)]
    found = await store.get(task.id)
    assert found is not None
    assert (found.status, found.args, found.tags) == ("pending", task.args, '["schedule:s"]')
    after = await schedules.get_schedule("s")
    assert after is not None
    assert (after.next_at, after.last_fire_at, after.last_task_id) == (T + MINUTE, T, task.id)


async def test_a_fire_is_made_once_and_a_second_try_leaves_nothing(
    schedules: SqlSchedules, store: Store, sql: Sql
) -> None:
    one = await made(schedules)
    tries = [schedules.fire(one, [(T, new_task())], T + MINUTE) for _ in range(10)]
    answers = await asyncio.gather(*tries)
    assert sorted(answers) == ["changed"] * 9 + ["fired"]
    assert sql("SELECT count(*) FROM tasks") == sql("SELECT count(*) FROM fires") == [(1,)]


async def test_a_fire_that_is_on_record_rolls_its_turn_back_and_nobody_elses(schedules: SqlSchedules, sql: Sql) -> None:
    one, other = await made(schedules), await made(schedules, "other")
    sql("INSERT INTO fires VALUES ('s', ?, 'old')", T + MINUTE)
    both = [(T, new_task()), (T + MINUTE, new_task())]
    assert await asyncio.gather(
        schedules.fire(one, both, T + 2 * MINUTE), schedules.fire(other, [(T, new_task())], T + MINUTE)
    ) == ["known", "fired"]
    assert sql("SELECT count(*) FROM tasks") == [(1,)]
    assert await schedules.get_schedule("s") == one
    assert await schedules.made_fires("s", [T, T + MINUTE]) == {T + MINUTE}
    assert await schedules.fire(one, [], T + 2 * MINUTE, "why") == "fired"
    after = await schedules.get_schedule("s")
    assert after is not None
    assert (after.next_at, after.last_fire_at, after.last_error) == (T + 2 * MINUTE, None, "why")


@pytest.mark.parametrize("how", ["changed", "paused", "deleted", "moved"])
async def test_a_schedule_that_is_no_longer_as_it_was_read_does_not_fire(
    schedules: SqlSchedules, sql: Sql, how: str
) -> None:
    one = await made(schedules)
    match how:
        case "changed":
            await schedules.change_schedule(msgspec.structs.replace(one, kind="other"), planned=False)
        case "paused":
            await schedules.change_schedule(msgspec.structs.replace(one, paused=True, next_at=None), planned=True)
        case "deleted":
            await schedules.delete_schedule("s")
        case "moved":
            await schedules.fire(one, [], T + MINUTE)
    assert await schedules.fire(one, [(T, new_task())], T + MINUTE) == "changed"
    assert sql("SELECT count(*) FROM tasks") == sql("SELECT count(*) FROM fires") == [(0,)]


async def test_the_due_ones_come_oldest_first_and_say_whether_their_last_task_runs(
    schedules: SqlSchedules, store: Store
) -> None:
    late, later = await made(schedules, "z", next_at=T), await made(schedules, "a", next_at=T + 5)
    await made(schedules, "not-yet", next_at=T + 6)
    assert await schedules.next_fire() == T
    assert await schedules.due_schedules(T + 5, 9) == [(late, False), (later, False)]
    assert await schedules.due_schedules(T + 5, 1) == [(late, False)]
    task = new_task()
    await schedules.fire(late, [(T, task)], T + 1)
    assert [busy for _, busy in await schedules.due_schedules(T + 5, 9)] == [True, False]
    (run,) = await store.claim({"default": 1}, T)
    await store.complete(run.id, run.fence, "1", T)
    assert [busy for _, busy in await schedules.due_schedules(T + 5, 9)] == [False, False]


async def test_a_triggered_task_becomes_the_last_one_unless_one_runs(schedules: SqlSchedules, store: Store) -> None:
    await made(schedules)
    running = await claimed(store)
    await schedules.note_task("s", running.id)
    await schedules.note_task("s", "another")
    assert (await schedules.get_schedule("s")).last_task_id == running.id  # type: ignore[union-attr]
    await store.complete(running.id, running.fence, "1", T)
    await schedules.note_task("s", "another")
    assert (await schedules.get_schedule("s")).last_task_id == "another"  # type: ignore[union-attr]


async def test_fires_are_pruned_after_a_day(store: Store, schedules: SqlSchedules, sql: Sql) -> None:
    for at in (T, T + 1):
        sql("INSERT INTO fires VALUES ('s', ?, 'x')", at)
    assert await store.prune(T + FIRES_KEPT, None, 9) == 0
    assert await store.prune(T + FIRES_KEPT + 1, None, 9) == 1
    assert sql("SELECT fire_at FROM fires") == [(T + 1,)]


@pytest.mark.parametrize(
    "wrong",
    [
        "every_ms = 999",
        "cron = '* * * * *'",
        "paused = 1",
        "overlap = 'x'",
        "catch_up = 'x'",
        "source = 'x'",
        "name = ''",
    ],
)
async def test_the_table_takes_nothing_that_is_no_schedule(schedules: SqlSchedules, sql: Sql, wrong: str) -> None:
    await made(schedules)
    with pytest.raises(sqlite3.IntegrityError):
        sql(f"UPDATE schedules SET {wrong}")


@pytest.mark.parametrize("policy", ["return", "reject"])
async def test_a_fire_whose_unique_key_is_held_makes_no_task_and_names_the_one_that_is_there(
    schedules: SqlSchedules, store: Store, policy: Any
) -> None:
    def unique() -> Any:
        return new_task(unique_key="k", on_duplicate=policy)

    (there,) = await store.enqueue([unique()])
    one = await made(schedules)
    assert await schedules.fire(one, [(T, unique()), (T + 1, unique())], T + MINUTE) == "fired"
    ((fired, busy),) = await schedules.due_schedules(T + MINUTE, 9)
    assert (fired.last_task_id, busy) == (there.id, True)
    assert await schedules.made_fires(one.key, [T, T + 1]) == {T, T + 1}
    assert [task.id for task in await store.find(TaskFilter())] == [there.id]
    await store.cancel(there.id, T)
    assert await schedules.fire(fired, [(T + 2, unique()), (T + 3, unique())], T + 2 * MINUTE) == "fired"
    (new, _) = await store.find(TaskFilter())
    ((fired, busy),) = await schedules.due_schedules(T + 2 * MINUTE, 9)
    assert (fired.last_task_id, busy) == (new.id, True)
