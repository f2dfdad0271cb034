"""A person's hand: cancel, rerun, delete. One winner in every race."""

from __future__ import annotations

import asyncio

import pytest

from quart_app.core.task import STATUSES, TaskFilter
from quart_app.store.protocols.tasks import Store
from tests.store.conform_running import WRITES
from tests.store.kit import ERROR, Bells, Sql, T, claimed, crashed, in_status, pending
from tests.store.soundness import everything


class Hands:
    # --- cancel

    @pytest.mark.parametrize("delay", [0, 1000])
    async def test_a_waiting_task_is_cancelled_at_once(self, store: Store, bells: Bells, delay: int) -> None:
        task_id = await pending(store, delay=delay)
        bells.take()
        assert await store.cancel(task_id, T + 5) == "cancelled"
        assert bells.take() == [("changed", task_id)]
        row = await store.get(task_id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at, row.cancel_requested_at) == (
            "cancelled",
            "cancel",
            T + 5,
            T + 5,
        )
        await store.make_ready(T + 9999, 9)
        assert await store.claim({"default": 9}, T + 9999) == []

    async def test_a_parked_task_is_cancelled_too_and_waits_for_nothing_more(self, store: Store) -> None:
        task = await claimed(store)
        await store.suspend(task.id, task.fence, "kind:thumbnail", T)
        assert await store.cancel(task.id, T) == "cancelled"
        assert await store.resume_waiting(["thumbnail"], T, 9) == 0
        row = await store.get(task.id)
        assert row is not None
        assert row.waiting_for is None

    async def test_a_running_task_is_asked_and_asked_only_once(self, store: Store, bells: Bells, sql: Sql) -> None:
        task = await claimed(store)
        bells.take()
        assert await store.cancel(task.id, T + 5) == "requested"
        assert bells.take() == [("changed", task.id)]
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.cancel_requested_at) == ("processing", "cancel_requested", T + 5)
        before = everything(sql)
        assert await store.cancel(task.id, T + 6) == "requested"
        assert everything(sql) == before
        assert await store.end_cancelled(task.id, task.fence, T + 7)

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    async def test_an_ended_task_stays_what_it_is(self, store: Store, sql: Sql, status: str) -> None:
        task = await in_status(store, status)
        before = everything(sql)
        assert await store.cancel(task.id, T + 5) == "ended"
        assert everything(sql) == before

    async def test_an_unknown_task_is_neither_cancelled_nor_rerun_nor_deleted(self, store: Store) -> None:
        assert await store.cancel("no-such-id", T) == "unknown"
        assert await store.rerun("no-such-id", False, T) is False
        assert await store.delete("no-such-id") is False

    @pytest.mark.parametrize("end", ["retry", "fail", "suspend", "release", "crash", "crash_out"])
    async def test_a_cancel_that_was_asked_wins_over_every_end_but_a_completed_one(
        self, store: Store, bells: Bells, end: str
    ) -> None:
        task = await claimed(store)
        await store.cancel(task.id, T)
        bells.take()
        assert await WRITES[end](store, task.id, task.fence) == "cancelled"
        assert bells.take() == [("changed", task.id)]
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.completed_at) == ("cancelled", "cancel", T + 50)
        errors = await store.errors(task.id, 9)
        assert [error.type for error in errors] == (["ValueError"] if end in ("retry", "fail", "crash_out") else [])

    async def test_cancel_and_end_at_the_same_time_have_one_winner(self, store: Store) -> None:
        for _ in range(20):
            task = await claimed(store)
            answer, completed = await asyncio.gather(
                store.cancel(task.id, T), store.complete(task.id, task.fence, "1", T)
            )
            assert completed, "a cancel of a running task only asks"
            assert answer in ("requested", "ended")
            assert (await store.get(task.id)).status == "completed"  # type: ignore[union-attr]

    async def test_cancel_and_claim_at_the_same_time_have_one_winner(self, store: Store) -> None:
        for _ in range(20):
            task_id = await pending(store)
            answer, taken = await asyncio.gather(store.cancel(task_id, T), store.claim({"default": 1}, T))
            row = await store.get(task_id)
            assert row is not None
            assert (answer, len(taken), row.status) in (("cancelled", 0, "cancelled"), ("requested", 1, "processing"))
            for task in taken:
                await store.end_cancelled(task.id, task.fence, T)

    # --- rerun

    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize("restart", [False, True])
    async def test_only_a_failed_or_cancelled_task_runs_again(
        self, store: Store, sql: Sql, status: str, restart: bool
    ) -> None:
        task = await in_status(store, status)
        before = everything(sql)
        allowed = status in ("failed", "cancelled")
        assert await store.rerun(task.id, restart, T + 5) is allowed
        assert (everything(sql) != before) is allowed

    async def test_a_rerun_starts_a_new_life_but_the_fence_goes_on(self, store: Store, bells: Bells) -> None:
        await crashed(store, await claimed(store, max_attempts=1, priority=4, queue="q"), 1)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"q": 9}, T)
        await store.cancel(task.id, T)
        await store.fail(task.id, task.fence, ERROR, T)
        bells.take()
        assert await store.rerun(task.id, False, T + 5)
        assert bells.take() == [("changed", task.id), ("ready", "q", False)]
        row = await store.get(task.id)
        assert row is not None
        assert (row.status, row.cause, row.attempt, row.crashes, row.run_at) == ("pending", "rerun", 0, 0, T + 5)
        assert (row.completed_at, row.cancel_requested_at, row.priority) == (None, None, 4)
        (again,) = await store.claim({"q": 9}, T + 5)
        assert (again.attempt, again.fence, again.cancel_requested) == (1, task.fence + 1, False)
        assert not await store.complete(task.id, task.fence, "1", T), "the old run is over for good"

    @pytest.mark.parametrize(("restart", "kept"), [(False, ["a", "b"]), (True, [])])
    async def test_recorded_steps_are_kept_unless_asked_to_restart(
        self, store: Store, restart: bool, kept: list[str]
    ) -> None:
        task = await claimed(store)
        await store.record_step(task.id, task.fence, "a", "1", 1, T, False)
        await store.record_step(task.id, task.fence, "b", "1", 2, T, False)
        await store.progress(task.id, task.fence, 2, 3, "half", T)
        await store.fail(task.id, task.fence, ERROR, T)
        before = await store.get(task.id)
        assert await store.rerun(task.id, restart, T)
        assert [step.name for step in await store.steps(task.id)] == kept
        row = await store.get(task.id)
        assert row is not None
        assert before is not None
        assert row.message == (None if restart else "half")
        assert row.version > before.version
        (again,) = await store.claim({"default": 9}, T)
        assert again.has_steps is not restart

    async def test_an_expired_task_that_is_rerun_does_not_expire_again(self, store: Store) -> None:
        task_id = await pending(store, expires_at=T + 10)
        assert await store.expire(T + 10, 9) == ["thumbnail"]
        assert await store.rerun(task_id, False, T + 20)
        assert await store.expire(T + 20, 9) == []
        assert [task.id for task in await store.claim({"default": 9}, T + 20)] == [task_id]

    async def test_twenty_reruns_at_once_make_one_new_life(self, store: Store) -> None:
        task = await in_status(store, "failed")
        assert sum(await asyncio.gather(*(store.rerun(task.id, False, T) for _ in range(20)))) == 1

    # --- delete

    @pytest.mark.parametrize("status", STATUSES)
    async def test_only_an_ended_task_is_deleted(self, store: Store, sql: Sql, status: str) -> None:
        task = await in_status(store, status)
        before = everything(sql)
        allowed = status in ("completed", "failed", "cancelled")
        assert await store.delete(task.id) is allowed
        assert (await store.get(task.id) is None) is allowed
        assert (everything(sql) != before) is allowed
        assert await store.delete(task.id) is False

    async def test_everything_of_a_task_goes_with_it(self, store: Store, sql: Sql) -> None:
        task = await claimed(store, args='{"x":"' + "y" * 999 + '"}', tags=("a", "b"))
        await store.record_step(task.id, task.fence, "s", "1", 1, T, False)
        await store.progress(task.id, task.fence, 1, 2, None, T)
        await store.log(task.id, task.fence, "{}", T)
        await store.retry(task.id, task.fence, ERROR, T, T)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        await store.complete(task.id, task.fence, '"' + "y" * 999 + '"', T)
        assert await store.delete(task.id)
        assert await store.events(task.id, 0, 9) == await store.steps(task.id) == await store.errors(task.id, 9) == []
        assert await store.find(TaskFilter(tag="a")) == [], "gone for everybody, before its rows are"
        while await store.clear_deleted(5, 500):
            pass
        assert {table: rows for table, rows in everything(sql).items() if rows} == {}
        assert await store.counts() == []
        assert await store.events(task.id, 0, 9) == []
