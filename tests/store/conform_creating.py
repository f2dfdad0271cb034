"""enqueue: all or none, and what an idempotency key promises."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from quart_app.core.errors import IdempotencyConflict, KeyedTaskGone
from quart_app.core.task import Enqueued
from quart_app.store.protocols.tasks import Store
from tests.store.kit import Bells, Sql, T, claimed, keyed, new_task
from tests.store.soundness import everything

LONG_ARGS = '{"text":"' + "é" * 5000 + '"}'


class Creating:
    async def test_a_new_task_is_pending_and_reads_back_as_it_was_given(self, store: Store) -> None:
        new = new_task(
            args='{"n":123456789012345678901234567890,"s":"a\\\\u0000b\\"\'😀"}',
            queue="images",
            owner="ann",
            priority=-7,
            max_attempts=5,
            tags=("b", "a", "b"),
            traceparent="00-1-2-01",
        )
        assert await store.enqueue([new]) == [Enqueued(new.id, "pending")]
        task = await store.get(new.id)
        assert task is not None
        assert (task.kind, task.queue, task.owner, task.priority) == ("thumbnail", "images", "ann", -7)
        assert (task.status, task.cause, task.attempt, task.max_attempts, task.crashes) == (
            "pending",
            "enqueue",
            0,
            5,
            0,
        )
        assert (task.created_at, task.run_at, task.started_at, task.completed_at) == (T, T, None, None)
        assert task.args == new.args
        assert (task.result, task.error_type, task.waiting_for, task.version) == (None, None, None, 1)
        assert msgspec.json.decode(task.tags or "[]") == ["b", "a", "b"]

    @pytest.mark.parametrize("args", ["{}", '{"a":1}', '{"x":"' + "y" * 250 + '"}', LONG_ARGS])
    async def test_args_of_every_length_come_back_whole_to_readers_and_to_the_run(
        self, store: Store, args: str
    ) -> None:
        task = await claimed(store, args=args)
        assert task.args == args
        found = await store.get(task.id)
        assert found is not None
        assert found.args == args

    async def test_a_thousand_tasks_in_one_call_keep_their_order(self, store: Store) -> None:
        tasks = [new_task(args=f'{{"n":{n}}}') for n in range(1000)]
        assert [made.id for made in await store.enqueue(tasks)] == [task.id for task in tasks]
        seqs = [(await store.get(task.id)).seq for task in tasks[::100]]  # type: ignore[union-attr]
        assert seqs == sorted(seqs)

    async def test_no_task_at_all_is_no_error(self, store: Store) -> None:
        assert await store.enqueue([]) == []

    async def test_one_bad_task_keeps_out_the_whole_call(self, store: Store, sql: Sql) -> None:
        before = everything(sql)
        with pytest.raises(Exception, match="priority"):
            await store.enqueue([new_task(), new_task(priority=101), keyed("k")])
        assert everything(sql) == before

    async def test_a_ready_task_rings_and_a_delayed_one_tells_when(self, store: Store, bells: Bells) -> None:
        await store.enqueue([new_task(queue="q"), new_task(delay=5), new_task(delay=9, expires_at=T + 7)])
        assert bells.take() == [("ready", "q", False), ("due", T + 5), ("due", T + 7), ("due", T + 9)]

    # --- idempotency keys

    async def test_the_same_key_again_answers_with_the_first_task_and_its_status_of_now(
        self, store: Store, bells: Bells
    ) -> None:
        first = keyed("k")
        await store.enqueue([first])
        bells.take()
        assert await store.enqueue([keyed("k")]) == [Enqueued(first.id, "pending", replayed=True)]
        assert bells.take() == [], "nothing new may be run"
        (task,) = await store.claim({"default": 9}, T)
        assert await store.enqueue([keyed("k")]) == [Enqueued(first.id, "processing", replayed=True)]
        await store.complete(task.id, task.fence, "1", T)
        assert await store.enqueue([keyed("k")]) == [Enqueued(first.id, "completed", replayed=True)]

    async def test_a_replay_makes_no_task_and_leaves_no_trace(self, store: Store, sql: Sql) -> None:
        await store.enqueue([keyed("k", args=LONG_ARGS, tags=("a",))])
        before = everything(sql)
        await store.enqueue([keyed("k", args=LONG_ARGS, tags=("a",))])
        assert everything(sql) == before

    async def test_the_same_key_for_another_request_is_a_conflict(self, store: Store, sql: Sql) -> None:
        await store.enqueue([keyed("k", "one")])
        before = everything(sql)
        with pytest.raises(IdempotencyConflict):
            await store.enqueue([keyed("k", "two")])
        assert everything(sql) == before

    async def test_a_conflict_keeps_out_the_whole_call_and_its_other_keys(self, store: Store, sql: Sql) -> None:
        await store.enqueue([keyed("k", "one")])
        before = everything(sql)
        with pytest.raises(IdempotencyConflict):
            await store.enqueue([new_task(tags=("a",)), keyed("other"), keyed("k", "two"), new_task(args=LONG_ARGS)])
        assert everything(sql) == before
        (made,) = await store.enqueue([keyed("other", "different")])
        assert not made.replayed

    async def test_a_call_may_mix_new_tasks_and_replays(self, store: Store) -> None:
        first = keyed("k")
        await store.enqueue([first])
        plain, fresh = new_task(), keyed("fresh")
        answer = await store.enqueue([plain, keyed("k"), fresh])
        assert [one.id for one in answer] == [plain.id, first.id, fresh.id]
        assert [one.replayed for one in answer] == [False, True, False]

    async def test_one_key_twice_in_a_call_makes_one_task(self, store: Store) -> None:
        first = keyed("k")
        answer = await store.enqueue([first, keyed("k")])
        assert [one.id for one in answer] == [first.id, first.id]
        assert [one.replayed for one in answer] == [False, True]
        assert sum(count.n for count in await store.counts()) == 1

    async def test_one_key_twice_in_a_call_for_two_requests_is_a_conflict(self, store: Store, sql: Sql) -> None:
        with pytest.raises(IdempotencyConflict):
            await store.enqueue([keyed("k", "one"), keyed("k", "two")])
        assert sql("SELECT count(*) FROM tasks") == sql("SELECT count(*) FROM idempotency_keys") == [(0,)]

    async def test_two_owners_may_use_one_key(self, store: Store) -> None:
        answer = await store.enqueue([keyed("k", owner="ann"), keyed("k", owner="bob"), keyed("k", "other", owner="")])
        assert len({one.id for one in answer}) == 3
        assert not any(one.replayed for one in answer)

    @pytest.mark.parametrize(("after", "holds"), [(0, True), (999, True), (1000, False), (5000, False)])
    async def test_a_key_holds_until_it_expires(self, store: Store, after: int, holds: bool) -> None:
        await store.enqueue([keyed("k", "one", keep=1000)])
        again = keyed("k", "one", now=T + after)
        (made,) = await store.enqueue([again])
        assert made.replayed is holds
        assert (made.id == again.id) is not holds

    async def test_an_expired_key_may_mean_something_else(self, store: Store) -> None:
        await store.enqueue([keyed("k", "one", keep=10)])
        second = keyed("k", "two", now=T + 10)
        (made,) = await store.enqueue([second])
        assert (made.id, made.replayed) == (second.id, False)
        assert (await store.enqueue([keyed("k", "two", now=T + 11)]))[0].id == second.id
        with pytest.raises(IdempotencyConflict):
            await store.enqueue([keyed("k", "one", now=T + 11)])

    async def test_a_key_outlives_its_task(self, store: Store, sql: Sql) -> None:
        task = await claimed(store, idempotency_key="k", fingerprint="f", key_expires_at=T + 1000)
        await store.complete(task.id, task.fence, "1", T)
        assert await store.delete(task.id)
        before = everything(sql)
        with pytest.raises(KeyedTaskGone):
            await store.enqueue([keyed("k")])
        with pytest.raises(IdempotencyConflict):
            await store.enqueue([keyed("k", "other")])
        assert everything(sql) == before
        assert not (await store.enqueue([keyed("k", now=T + 1000)]))[0].replayed

    async def test_keys_are_known_when_enqueueing_under_them_would_make_nothing_new(self, store: Store) -> None:
        assert not await store.known_keys([keyed("a")])
        await store.enqueue([keyed("a", keep=1000), keyed("b", keep=1000)])
        assert await store.known_keys([keyed("a")])
        assert await store.known_keys([keyed("b"), keyed("a"), keyed("a", "another request")])
        assert not await store.known_keys([keyed("a"), keyed("new")])
        assert not await store.known_keys([keyed("a"), new_task()])
        assert not await store.known_keys([new_task()])
        assert not await store.known_keys([keyed("a", owner="ann")])

    async def test_a_key_that_has_expired_is_no_longer_known(self, store: Store) -> None:
        await store.enqueue([keyed("a", keep=1000)])
        assert await store.known_keys([keyed("a", now=T + 999)])
        assert not await store.known_keys([keyed("a", now=T + 1000)])

    async def test_a_hundred_callers_with_one_key_make_one_task(self, store: Store) -> None:
        answers = await asyncio.gather(*(store.enqueue([keyed("k")]) for _ in range(100)))
        assert len({made.id for (made,) in answers}) == 1
        assert sum(made.replayed for (made,) in answers) == 99
        assert sum(count.n for count in await store.counts()) == 1

    async def test_callers_who_disagree_about_a_key_get_one_task_and_conflicts(self, store: Store) -> None:
        answers = await asyncio.gather(
            *(store.enqueue([keyed("k", str(n % 2)), new_task()]) for n in range(20)), return_exceptions=True
        )
        lost = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(lost) == 10
        assert all(isinstance(error, IdempotencyConflict) for error in lost)
        assert sum(count.n for count in await store.counts()) == 1 + 10
