"""claim and claim_suspect: who gets which task, in which order, and what the run is told."""

from __future__ import annotations

import asyncio

import pytest

from quart_app.store.protocols.tasks import Store
from tests.store.kit import ERROR, Bells, Sql, T, claimed, crashed, new_task, pending
from tests.store.soundness import everything


class Claiming:
    async def test_a_claimed_task_is_processing_on_record_before_it_runs(self, store: Store, sql: Sql) -> None:
        new = new_task(owner="ann", queue="q", max_attempts=4, timeout_ms=77, traceparent="00-a-b-01")
        await store.enqueue([new])
        (task,) = await store.claim({"q": 5}, T + 3)
        assert (task.id, task.kind, task.args, task.queue, task.owner) == (new.id, new.kind, new.args, "q", "ann")
        assert (task.attempt, task.max_attempts, task.crashes, task.timeout_ms, task.fence) == (1, 4, 0, 77, 1)
        assert (task.cancel_requested, task.has_steps, task.traceparent) == (False, False, "00-a-b-01")
        row = await store.get(new.id)
        assert row is not None
        assert (row.status, row.cause, row.attempt, row.started_at) == ("processing", "claim", 1, T + 3)
        assert sql("SELECT worker FROM tasks") == [(store.worker,)]

    async def test_tasks_come_by_priority_then_due_time_then_age(self, store: Store) -> None:
        tasks = {
            "old, low": new_task(priority=-1, now=T - 9),
            "late": new_task(delay=5),
            "first made": new_task(),
            "second made": new_task(),
            "due long ago": new_task(now=T - 5),
            "high but late": new_task(priority=1, delay=6),
            "high": new_task(priority=1),
        }
        await store.enqueue(list(tasks.values()))
        await store.make_ready(T + 10, 100)
        order = []
        while taken := await store.claim({"default": 1}, T + 10):
            order.append(next(name for name, task in tasks.items() if task.id == taken[0].id))
        assert order == ["high", "high but late", "due long ago", "first made", "second made", "late", "old, low"]

    async def test_a_limit_takes_the_best_ones(self, store: Store) -> None:
        tasks = [new_task(priority=n) for n in (0, 5, 3, 9, 1)]
        await store.enqueue(tasks)
        taken = {task.id for task in await store.claim({"default": 3}, T)}
        assert taken == {tasks[1].id, tasks[2].id, tasks[3].id}
        assert len(await store.claim({"default": 9}, T)) == 2

    async def test_a_queue_gives_only_its_own(self, store: Store) -> None:
        await pending(store, queue="a")
        here = await pending(store, queue="b")
        assert [task.id for task in await store.claim({"b": 9}, T)] == [here]
        assert await store.claim({"c": 9}, T) == []

    async def test_an_empty_queue_changes_nothing_and_rings_nobody(self, store: Store, bells: Bells, sql: Sql) -> None:
        await store.enqueue([new_task(delay=1)])
        bells.take()
        before = everything(sql)
        assert await store.claim({"default": 9}, T) == []
        assert await store.claim_suspects(2, 99, 1, T) == []
        assert everything(sql) == before
        assert bells.take() == []

    async def test_every_claim_tells_whoever_watches_the_task(self, store: Store, bells: Bells) -> None:
        ids = [await pending(store) for _ in range(3)]
        bells.take()
        await store.claim({"default": 9}, T)
        assert sorted(bells.take()) == sorted(("changed", task_id) for task_id in ids)

    async def test_claims_at_the_same_time_never_share_a_task(self, store: Store, rival: Store) -> None:
        tasks = [new_task() for _ in range(60)]
        await store.enqueue(tasks)
        answers = await asyncio.gather(*((store, rival)[n % 2].claim({"default": 3}, T) for n in range(24)))
        taken = [task.id for answer in answers for task in answer]
        assert sorted(taken) == sorted(task.id for task in tasks)

    async def test_a_task_that_is_not_due_waits_until_it_is_staged(self, store: Store) -> None:
        await store.enqueue([new_task(delay=10)])
        assert await store.claim({"default": 9}, T + 100) == []
        assert await store.make_ready(T + 100, 9) == 1
        assert len(await store.claim({"default": 9}, T + 100)) == 1

    @pytest.mark.parametrize(("at", "taken"), [(T + 9, 1), (T + 10, 0), (T + 11, 0)])
    async def test_a_task_whose_time_to_start_is_over_is_not_started(self, store: Store, at: int, taken: int) -> None:
        await pending(store, expires_at=T + 10)
        assert len(await store.claim({"default": 9}, at)) == taken

    async def test_a_task_that_has_started_once_no_longer_expires(self, store: Store) -> None:
        task = await claimed(store, expires_at=T + 10)
        await store.release(task.id, task.fence, task.queue, T + 5)
        assert await store.expire(T + 99, 9) == []
        assert [one.id for one in await store.claim({"default": 9}, T + 99)] == [task.id]

    async def test_fence_and_attempt_rise_with_every_claim(self, store: Store) -> None:
        task = await claimed(store)
        for number in (2, 3):
            await store.retry(task.id, task.fence, ERROR, T, T)
            await store.make_ready(T, 9)
            (task,) = await store.claim({"default": 9}, T)
            assert (task.attempt, task.fence) == (number, number)

    async def test_the_run_is_told_that_steps_exist(self, store: Store) -> None:
        task = await claimed(store)
        await store.record_step(task.id, task.fence, "a", "1", 1, T, False)
        await store.release(task.id, task.fence, task.queue, T)
        (again,) = await store.claim({"default": 9}, T)
        assert (again.has_steps, again.cancel_requested, again.attempt, again.fence) == (True, False, 1, 2)

    async def test_a_start_is_never_dated_before_the_task_was_made(self, store: Store) -> None:
        task_id = await pending(store)
        await store.claim({"default": 9}, T - 7_200_000)
        row = await store.get(task_id)
        assert row is not None
        assert row.started_at == T

    # --- suspects

    @pytest.mark.parametrize(("crashes", "suspect"), [(0, False), (1, False), (2, True), (3, True)])
    async def test_two_crashes_make_a_suspect(self, store: Store, crashes: int, suspect: bool) -> None:
        task = await claimed(store)
        if crashes:
            await crashed(store, task, crashes)
            await store.make_ready(T, 9)
        else:
            await store.release(task.id, task.fence, task.queue, T)
        ordinary, suspects = await store.claim({"default": 9}, T), await store.claim_suspects(2, 99, 1, T)
        assert (len(ordinary), len(suspects)) == ((0, 1) if suspect else (1, 0))
        (again,) = ordinary or suspects
        assert (again.id, again.crashes, again.attempt) == (task.id, crashes, 1)

    async def test_suspects_come_from_any_queue_and_those_that_ran_for_the_shortest_time_first(
        self, store: Store
    ) -> None:
        ids = []
        for queue, due, lived in (("a", T + 2, 7), ("b", T + 1, 7), ("c", T + 3, 1), ("d", T + 1, 900)):
            task = await crashed(store, await claimed(store, queue=queue), 1)
            (task,) = await store.claim({queue: 1}, T)
            await store.crash(task.id, task.fence, due, T, died_at=T + lived)
            ids.append(task.id)
        assert await store.claim_suspects(2, 99, 9, T + 9) == [], "their pause is not over"
        assert await store.make_ready(T + 9, 9) == 4
        taken = [(await store.claim_suspects(2, 99, 1, T + 9))[0] for _ in range(4)]
        assert [task.id for task in taken] == [ids[2], ids[1], ids[0], ids[3]]
        assert [task.lived_ms for task in taken] == [1, 7, 7, 900]
        assert await store.claim_suspects(2, 99, 1, T + 9) == []

    async def test_suspects_are_claimed_by_the_number_of_their_crashes(self, store: Store, sql: Sql) -> None:
        for crashes in (1, 2, 3, 3, 4):
            sql("UPDATE tasks SET crashes = ? WHERE id = ?", crashes, await pending(store))
        assert [task.crashes for task in await store.claim_suspects(3, 3, 9, T)] == [3, 3]
        assert [task.crashes for task in await store.claim_suspects(4, 99, 9, T)] == [4]
        assert [task.crashes for task in await store.claim_suspects(2, 99, 9, T)] == [2]

    async def test_how_long_it_ran_is_the_longest_of_its_crashes_since_it_made_headway(self, store: Store) -> None:
        task = await claimed(store)
        lived = []
        for seconds in (5, 3, 8, -7200):
            await store.crash(task.id, task.fence, None, T, died_at=T + seconds * 1000)
            (task,) = await store.claim({"default": 1}, T) or await store.claim_suspects(2, 99, 1, T)
            lived.append(task.lived_ms // 1000)
        assert lived == [5, 5, 8, 8]
        await store.record_step(task.id, task.fence, "a", "1", 1, T, True)
        await store.crash(task.id, task.fence, None, T, died_at=T + 1000)
        (task,) = await store.claim({"default": 1}, T)
        assert task.lived_ms == 1000

    async def test_several_queues_are_claimed_from_at_once_each_as_far_as_asked(self, store: Store) -> None:
        for queue in ("a", "b", "b", "b", "c"):
            await pending(store, queue=queue)
        taken = await store.claim({"b": 2, "a": 5, "none": 1}, T)
        assert sorted(task.queue for task in taken) == ["a", "b", "b"]

    async def test_a_recorded_step_clears_the_suspicion_and_the_task_is_ordinary_again(self, store: Store) -> None:
        await crashed(store, await claimed(store), 2)
        await store.make_ready(T, 9)
        (task,) = await store.claim_suspects(2, 99, 1, T)
        assert await store.record_step(task.id, task.fence, "a", "1", 1, T, True)
        await store.release(task.id, task.fence, task.queue, T)
        assert await store.claim_suspects(2, 99, 1, T) == []
        (again,) = await store.claim({"default": 9}, T)
        assert (again.id, again.crashes) == (task.id, 0)
