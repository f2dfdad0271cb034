"""stage, expire, next_due, unpark, orphans, crash and prune: upkeep in small bites."""

from __future__ import annotations

import pytest

from quart_app.core.task import TaskError, TaskFilter
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.statistics import SqlStatistics
from tests.store.kit import ERROR, Bells, Sql, T, claimed, crashed, in_status, keyed, new_task, pending
from tests.store.soundness import assert_sound, everything

HOUR = 3_600_000
POISON = TaskError(type="poisoned", message="its process died", retryable=False)


class Upkeep:
    # --- stage, expire, next_due

    async def test_staging_takes_what_is_due_the_earliest_first_and_no_more_than_asked(self, store: Store) -> None:
        tasks = [new_task(delay=delay) for delay in (30, 10, 20, 40)]
        await store.enqueue(tasks)
        assert await store.make_ready(T + 9, 9) == 0
        assert await store.make_ready(T + 30, 2) == 2
        assert {task.id for task in await store.claim({"default": 9}, T + 30)} == {tasks[1].id, tasks[2].id}
        assert await store.make_ready(T + 30, 9) == 1
        assert await store.make_ready(T + 30, 9) == 0

    async def test_staging_rings_each_queue_and_tells_suspects_apart(self, store: Store, bells: Bells) -> None:
        await crashed(store, await claimed(store, queue="s"), 2, run_at=T + 1)
        await store.enqueue([new_task(delay=1, queue="a"), new_task(delay=1, queue="a"), new_task(delay=1, queue="b")])
        bells.take()
        assert await store.make_ready(T + 1, 99) == 4
        assert sorted(bells.take()) == [("ready", "a", False), ("ready", "b", False), ("ready", "s", True)]

    async def test_staging_is_no_event_and_no_new_version(self, store: Store) -> None:
        task_id = await pending(store, delay=1)
        before = await store.get(task_id)
        await store.make_ready(T + 1, 9)
        assert await store.get(task_id) == before
        assert len(await store.events(task_id, 0, 9)) == 1

    @pytest.mark.parametrize("delay", [0, 500])
    async def test_a_task_that_did_not_start_in_time_fails_as_expired(
        self, store: Store, bells: Bells, delay: int
    ) -> None:
        task_id = await pending(store, delay=delay, expires_at=T + 100)
        assert await store.expire(T + 99, 9) == []
        bells.take()
        assert await store.expire(T + 100, 9) == ["thumbnail"]
        assert bells.take() == [("changed", task_id)]
        row = await store.get(task_id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at, row.attempt) == ("failed", "expire", T + 100, 0)
        assert (row.error_type, row.error_retryable) == ("expired", 0)
        assert [error.type for error in await store.errors(task_id, 9)] == ["expired"]
        assert await store.expire(T + 200, 9) == []

    async def test_expiring_takes_no_more_than_asked_and_leaves_running_and_ended_tasks_alone(
        self, store: Store
    ) -> None:
        await claimed(store, expires_at=T + 1)
        await in_status(store, "completed", expires_at=T + 1)
        for _ in range(3):
            await pending(store, expires_at=T + 1)
        assert [len(await store.expire(T + 1, 2)) for _ in range(3)] == [2, 1, 0]

    async def test_a_task_parked_for_its_kind_expires_only_if_it_never_started(self, store: Store) -> None:
        task = await claimed(store, expires_at=T + 10)
        await store.suspend(task.id, task.fence, "kind:thumbnail", T)
        assert await store.expire(T + 10, 9) == []

    async def test_next_due_is_the_earliest_of_start_and_expiry_of_what_waits(self, store: Store) -> None:
        assert await store.next_due() is None
        await pending(store)
        assert await store.next_due() is None, "a ready task needs no poller"
        await store.enqueue([new_task(delay=300), new_task(delay=200)])
        assert await store.next_due() == T + 200
        await store.enqueue([new_task(expires_at=T + 50)])
        assert await store.next_due() == T + 50
        await store.expire(T + 50, 9)
        assert await store.next_due() == T + 200
        await store.make_ready(T + 300, 9)
        assert await store.next_due() is None

    # --- steps of the clock

    async def test_what_was_planned_at_a_time_to_come_waits_its_delay_from_now_on(self, store: Store, sql: Sql) -> None:
        planned = [new_task(T + HOUR, delay=500, delay_ms=500), new_task(T - 100, delay=900, delay_ms=900)]
        dated = new_task(delay=HOUR)
        await store.enqueue([*planned, dated])
        assert await store.replan(T, 9) == 1
        assert await store.replan(T, 9) == 0
        assert sql("SELECT run_at - ? FROM tasks ORDER BY seq", T) == [(500,), (800,), (HOUR,)]

    async def test_a_task_is_planned_anew_only_while_it_waits_for_its_time(self, store: Store, sql: Sql) -> None:
        await claimed(store, T + HOUR)
        parked = await claimed(store, T + HOUR, queue="parked")
        await store.suspend(parked.id, parked.fence, "kind:thumbnail", T + HOUR)
        await in_status(store, "completed", T + HOUR, queue="ended")
        await pending(store, T + HOUR, queue="ready")
        sql("UPDATE tasks SET delay_ms = 5")
        assert await store.replan(T, 9) == 0

    async def test_planning_anew_takes_no_more_than_asked(self, store: Store) -> None:
        await store.enqueue([new_task(T + HOUR, delay=5, delay_ms=5) for _ in range(5)])
        assert [await store.replan(T, 2) for _ in range(4)] == [2, 2, 1, 0]

    async def test_a_retry_and_the_pause_after_a_crash_are_delays(self, store: Store, sql: Sql) -> None:
        task = await claimed(store)
        assert await store.retry(task.id, task.fence, ERROR, T + 700, T)
        task = await claimed(store, queue="q")
        assert await store.crash(task.id, task.fence, T + 900, T)
        assert sql("SELECT delay_ms FROM tasks ORDER BY seq") == [(700,), (900,)]

    async def test_in_doubt_a_task_is_due_by_the_time_it_was_planned_with(
        self, store: Store, sql: Sql, bells: Bells
    ) -> None:
        """Settled is T, the clock shows an hour more."""
        now = T + HOUR
        before, due_before = new_task(T - 900, delay=1_000, delay_ms=1_000), new_task(T - 9, delay=9, delay_ms=9)
        since, since_later = new_task(now - 5, delay=5, delay_ms=5), new_task(now - 5, delay=9, delay_ms=9)
        dated = new_task(delay=50)
        await store.enqueue([before, due_before, since, since_later, dated])
        bells.take()
        assert await store.make_ready(now, 9, settled=T) == 1
        assert bells.take() == [("ready", "default", False)]
        ready = [task_id for (task_id,) in sql("SELECT id FROM tasks WHERE ready = 1 ORDER BY seq")]
        assert ready == [due_before.id, since.id]
        assert await store.make_ready(now, 9) == 2

    # --- unpark

    async def test_parked_tasks_go_on_when_their_kind_is_known_again(self, store: Store, bells: Bells) -> None:
        task = await claimed(store, queue="q")
        await store.suspend(task.id, task.fence, "kind:thumbnail", T)
        other = await claimed(store, kind="other")
        await store.suspend(other.id, other.fence, "kind:other", T)
        assert (
            await store.resume_waiting([], T, 9) == await store.resume_waiting(["thumb", "kind:thumbnail"], T, 9) == 0
        )
        bells.take()
        assert await store.resume_waiting(["add", "thumbnail"], T, 9) == 1
        assert bells.take() == [("ready", "q", False)]
        (again,) = await store.claim({"q": 9}, T)
        assert (again.id, again.attempt, again.fence) == (task.id, 1, 2)
        assert await store.claim({"default": 9}, T) == []

    async def test_unparking_takes_no_more_than_asked(self, store: Store) -> None:
        for _ in range(3):
            task = await claimed(store)
            await store.suspend(task.id, task.fence, "kind:thumbnail", T)
        assert [await store.resume_waiting(["thumbnail"], T, 2) for _ in range(3)] == [2, 1, 0]

    # --- crashes

    async def test_an_orphan_is_a_running_task_of_another_worker(self, store: Store, rival: Store) -> None:
        mine = await claimed(store)
        theirs = await claimed(rival)
        for status in ("pending", "completed", "failed", "cancelled"):
            await in_status(rival, status, queue="q")
        await rival.cancel(theirs.id, T)
        (orphan,) = await store.orphans(9, 9)
        assert (orphan.id, orphan.fence, orphan.crashes, orphan.cancel_requested) == (theirs.id, 1, 0, True)
        (other,) = await rival.orphans(9, 9)
        assert (other.id, other.cancel_requested) == (mine.id, False)

    async def test_orphans_come_in_bites_in_their_old_order(self, store: Store, rival: Store) -> None:
        tasks = [new_task() for _ in range(5)]
        await store.enqueue(tasks)
        await rival.claim({"default": 9}, T)
        assert [orphan.id for orphan in await store.orphans(3, 9)] == [task.id for task in tasks[:3]]

    async def test_a_crash_gives_the_attempt_back_and_counts(self, store: Store, bells: Bells) -> None:
        task = await claimed(store, delay=0)
        bells.take()
        assert await store.crash(task.id, task.fence, None, T + 5)
        assert ("ready", "default", False) in bells.take()
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.attempt, row.crashes) == ("pending", "crash", 0, 1)
        assert row.run_at == T, "at once, in its old place"
        assert row.error_type is None
        (again,) = await store.claim({"default": 9}, T - 7_200_000)
        assert again.id == task.id, "whatever the clock says"

    async def test_a_suspects_crash_makes_it_wait_until_its_pause_is_over(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.crash(task.id, task.fence, T + 1000, T)
        assert (await store.get(task.id)).run_at == T + 1000  # type: ignore[union-attr]
        assert await store.make_ready(T + 999, 9) == 0
        assert await store.make_ready(T + 1000, 9) == 1

    async def test_a_crashed_task_keeps_its_place_before_younger_ones(self, store: Store) -> None:
        first = await claimed(store)
        second = await pending(store)
        await store.crash(first.id, first.fence, None, T)
        await store.make_ready(T, 9)
        assert [(await store.claim({"default": 1}, T))[0].id for _ in range(2)] == [first.id, second]

    async def test_recovering_twice_counts_one_crash(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.crash(task.id, task.fence, None, T)
        assert not await store.crash(task.id, task.fence, None, T)
        assert (await store.get(task.id)).crashes == 1  # type: ignore[union-attr]

    async def test_a_poisoned_task_fails_with_its_crashes_on_record(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.crash_out(task.id, task.fence, POISON, T + 5)
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.crashes, row.completed_at) == ("failed", "crash", 1, T + 5)
        assert (row.error_type, row.error_retryable) == ("poisoned", 0)

    # --- prune

    async def test_old_ended_tasks_go_and_everything_else_stays(self, store: Store) -> None:
        gone = [(await in_status(store, status, now=T)).id for status in ("completed", "failed", "cancelled")]
        kept = [(await in_status(store, status, now=T + 100)).id for status in ("completed", "failed", "cancelled")]
        kept += [(await in_status(store, status, queue="q")).id for status in ("pending", "processing")]
        assert await store.prune(T + 999, T + 100, 99) == 3
        assert [await store.get(task_id) for task_id in gone] == [None] * 3
        assert None not in [await store.get(task_id) for task_id in kept]

    async def test_pruning_takes_the_oldest_first_and_no_more_than_asked(self, store: Store) -> None:
        ids = [(await in_status(store, "completed", now=T + age)).id for age in (30, 10, 20)]
        assert await store.prune(T + 99, T + 99, 2) == 2
        assert [await store.get(task_id) is None for task_id in ids] == [False, True, True]

    async def test_a_kinds_own_retention_counts_instead_of_the_common_one(self, store: Store) -> None:
        short = await in_status(store, "failed", retention_ms=100)
        none = await in_status(store, "completed", retention_ms=0)
        long = await in_status(store, "completed", retention_ms=10**9)
        assert await store.prune(T, T + 10**6, 9) == 0
        assert await store.prune(T + 1, None, 9) == 1
        assert await store.get(none.id) is None
        assert await store.prune(T + 100, None, 9) == 0
        assert await store.prune(T + 101, None, 9) == 1
        assert await store.get(short.id) is None
        assert await store.prune(T + 10**6, T + 10**6, 9) == 0
        assert await store.get(long.id) is not None

    async def test_no_common_retention_keeps_everything(self, store: Store, sql: Sql) -> None:
        await in_status(store, "completed")
        before = everything(sql)
        assert await store.prune(T + 10**12, None, 99) == 0
        assert everything(sql) == before

    async def test_expired_keys_go_and_others_stay(self, store: Store, sql: Sql) -> None:
        await store.enqueue([keyed("old", keep=10), keyed("new", keep=11)])
        assert await store.prune(T + 9, None, 9) == 0
        assert await store.prune(T + 10, None, 9) == 1
        assert sql("SELECT key FROM idempotency_keys") == [("new",)]

    async def test_a_rerun_saves_a_task_from_the_pruner(self, store: Store) -> None:
        task = await in_status(store, "failed", retention_ms=5)
        await store.rerun(task.id, False, T)
        assert await store.prune(T + 999, T + 999, 9) == 0
        (again,) = await store.claim({"default": 9}, T + 999)
        await store.fail(again.id, again.fence, ERROR, T + 999)
        assert await store.prune(T + 1004, T + 1004, 9) == 0
        assert await store.prune(T + 1005, T + 1005, 9) == 1

    # --- what is left of deleted tasks

    async def test_what_is_left_of_deleted_tasks_goes_in_bites_of_rows(
        self, store: Store, database: Database, sql: Sql
    ) -> None:
        kept = await claimed(store, queue="kept", tags=("t",), args='{"x":"' + "y" * 300 + '"}')
        await store.record_step(kept.id, kept.fence, "s", "1", 1, T, False)
        for _ in range(3):
            task = await claimed(store, tags=("t",), args='{"x":"' + "y" * 300 + '"}')
            for n in range(10):
                await store.log(task.id, task.fence, "{}", T)
                await store.record_step(task.id, task.fence, f"s{n}", "1", n, T, False)
            await store.fail(task.id, task.fence, ERROR, T)
            assert await store.delete(task.id)
        await SqlStatistics(database).count_events(None, 10**6)  # else the first bites do that
        before = sum(map(len, everything(sql).values()))
        sizes = []
        while went := await store.clear_deleted(7, 10**6):
            sizes.append(went)
            assert_sound(sql)
        assert max(sizes) == 7
        # 10 lines, 10 steps with an event each, 3 of the status, args, tag, error; and its place among the deleted.
        assert sum(sizes) == 3 * (10 + 20 + 3 + 3 + 1)
        assert before - sum(map(len, everything(sql).values())) == sum(sizes) - 3
        assert sql("SELECT count(*) FROM deleted_tasks") == [(0,)]
        assert [task.id for task in await store.find(TaskFilter(tag="t"))] == [kept.id]
        assert [step.name for step in await store.steps(kept.id)] == ["s"]

    async def test_a_bite_holds_about_so_much_text_and_one_row_at_least(self, store: Store, sql: Sql) -> None:
        task = await claimed(store)
        for n in range(6):
            await store.record_step(task.id, task.fence, f"s{n}", '"' + "x" * 1000 + '"', n, T, False)
        await store.complete(task.id, task.fence, '"' + "x" * 5000 + '"', T)
        await store.delete(task.id)
        left = []
        while await store.clear_deleted(999, 2000):
            left.append(sql("SELECT (SELECT count(*) FROM steps), (SELECT count(*) FROM results)")[0])
        assert left == [(4, 1), (2, 1), (0, 1), (0, 0), (0, 0)], "the last bite takes its number"
        assert sql("SELECT count(*) FROM deleted_tasks") == [(0,)]

    async def test_a_pruned_task_is_gone_at_once_and_its_rows_in_bites(
        self, store: Store, database: Database, sql: Sql
    ) -> None:
        task = await claimed(store)
        for _ in range(20):
            await store.log(task.id, task.fence, "{}", T)
        await store.complete(task.id, task.fence, "1", T)
        assert await store.prune(T + 9, T + 9, 9) == 1
        assert await store.get(task.id) is None
        assert await store.events(task.id, 0, 99) == await store.feed(0, 10**9, 99) == []
        assert sql("SELECT count(*) FROM events") == [(23,)]
        assert_sound(sql)
        await SqlStatistics(database).count_events(None, 10**6)  # else the first bites do that
        assert [await store.clear_deleted(20, 10**6) for _ in range(3)] == [20, 4, 0]
        assert {table: rows for table, rows in everything(sql).items() if rows} == {}
