"""Writes that share a transaction: cheap together, alone in their failures, and deaf to callers who go away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from quart_app.core.errors import IdempotencyConflict, UploadNotFound
from quart_app.store.protocols.tasks import Store
from tests.store.kit import ERROR, Bells, Sql, T, claimed, keyed, new_task


async def commits(store: Store) -> int:
    count = (await store.health())["commits"]
    assert isinstance(count, int)
    return count


class Grouping:
    async def test_writes_at_the_same_time_share_their_commits(self, store: Store) -> None:
        before = await commits(store)
        await asyncio.gather(*(store.enqueue([new_task()]) for _ in range(500)))
        assert await commits(store) - before <= 50
        assert sum(count.n for count in await store.counts()) == 500

    async def test_runs_that_end_at_the_same_time_share_their_commits_too(self, store: Store) -> None:
        await store.enqueue([new_task() for _ in range(300)])
        taken = await store.claim({"default": 300}, T)
        before = await commits(store)
        landed = await asyncio.gather(
            *(
                store.complete(task.id, task.fence, "1", T) if n % 2 else store.fail(task.id, task.fence, ERROR, T)
                for n, task in enumerate(taken)
            )
        )
        assert all(landed)
        assert await commits(store) - before <= 30

    async def test_a_lone_write_does_not_wait_for_company(self, store: Store) -> None:
        before = await commits(store)
        for _ in range(5):
            await store.enqueue([new_task()])
        assert await commits(store) - before == 5

    async def test_writes_to_one_task_happen_in_the_order_they_were_asked_for(self, store: Store) -> None:
        task = await claimed(store)
        landed = await asyncio.gather(
            *(store.log(task.id, task.fence, str(n), T) for n in range(50)),
            store.complete(task.id, task.fence, "1", T),
            store.log(task.id, task.fence, "too late", T),
            store.fail(task.id, task.fence, ERROR, T),
        )
        assert landed == [True] * 51 + [False, None]
        logged = [event.data for event in await store.events(task.id, 0, 99) if event.name == "log"]
        assert logged == [str(n) for n in range(50)]

    async def test_of_two_ends_at_the_same_time_the_first_wins(self, store: Store) -> None:
        for _ in range(10):
            task = await claimed(store)
            landed = await asyncio.gather(
                store.complete(task.id, task.fence, "1", T),
                store.fail(task.id, task.fence, ERROR, T),
                store.end_cancelled(task.id, task.fence, T),
            )
            assert list(landed) == [True, None, False]

    async def test_a_failing_write_beside_good_ones_fails_alone(self, store: Store) -> None:
        await store.enqueue([keyed("k", "one")])
        task = await claimed(store, queue="q")
        good = [new_task() for _ in range(20)]
        answers = await asyncio.gather(
            *(store.enqueue([one]) for one in good[:10]),
            store.enqueue([new_task(), keyed("k", "two")]),
            store.enqueue([new_task(priority=1000)]),
            store.enqueue([good[0]]),
            store.complete(task.id, task.fence, "1", T),
            *(store.enqueue([one]) for one in good[10:]),
            return_exceptions=True,
        )
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(failed) == 3
        assert isinstance(failed[0], IdempotencyConflict)
        assert answers[13] is True
        found = await asyncio.gather(*(store.get(one.id) for one in good))
        assert None not in found
        assert sum(count.n for count in await store.counts()) == 1 + 1 + 20

    @pytest.mark.parametrize("wrong", [1, 4])
    async def test_wrong_keys_cost_the_good_writes_beside_them_no_commits(self, store: Store, wrong: int) -> None:
        await store.enqueue([keyed("k", "one")])
        before = await commits(store)
        answers = await asyncio.gather(
            *(store.enqueue([new_task()]) for _ in range(50)),
            *(store.enqueue([keyed("k", "two")]) for _ in range(wrong)),
            *(store.enqueue([new_task()]) for _ in range(50)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, IdempotencyConflict) for answer in answers) == wrong
        assert sum(count.n for count in await store.counts()) == 101
        assert await commits(store) - before <= 3

    async def test_what_a_constraint_refuses_costs_the_good_writes_beside_it_no_commits(self, store: Store) -> None:
        before = await commits(store)
        answers = await asyncio.gather(
            *(store.enqueue([new_task()]) for _ in range(50)),
            store.enqueue([new_task(), new_task(priority=1000)]),
            *(store.enqueue([new_task()]) for _ in range(50)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, BaseException) for answer in answers) == 1
        assert sum(count.n for count in await store.counts()) == 100
        assert await commits(store) - before <= 3

    async def test_who_was_refused_for_what_a_refused_one_had_written_is_asked_again(self, store: Store) -> None:
        """The first takes the key and is refused for its upload: the others have met a key that is not taken."""
        unknown = keyed("k", "one", uploads=("0" * 32,))
        taken, same, other = keyed("k", "two"), keyed("k", "two"), keyed("k", "three")
        answers = await asyncio.gather(
            *(store.enqueue([task]) for task in (new_task(), unknown, taken, same, other, new_task())),
            return_exceptions=True,
        )
        assert isinstance(answers[1], UploadNotFound)
        assert isinstance(answers[4], IdempotencyConflict)
        assert [answers[n][0].id for n in (2, 3)] == [taken.id, taken.id]  # type: ignore[index]
        assert [(await store.get(task.id)) is not None for task in (unknown, taken, same, other)] == [
            False,
            True,
            False,
            False,
        ]

    async def test_a_claim_is_answered_before_anybody_hears_of_a_task_it_has_not_seen(
        self, store: Store, bells: Bells
    ) -> None:
        """The dispatcher takes a wake-up that came before the answer for one of a task that the claim has seen."""
        heard: list[str] = []

        async def claim() -> None:
            taken = await store.claim({"late": 9}, T)
            heard.append(f"{len(taken)} claimed, rung: {('ready', 'late', False) in bells.heard}")

        refused = store.enqueue([keyed("k", "one", uploads=("0" * 32,))])
        late = store.enqueue([keyed("k", "two", queue="late")])
        answers = await asyncio.gather(refused, late, claim(), store.probe(), return_exceptions=True)
        assert isinstance(answers[0], UploadNotFound)
        assert heard in (["0 claimed, rung: False"], ["1 claimed, rung: True"])
        assert ("ready", "late", False) in bells.heard

    async def test_many_lines_of_one_run_share_their_commits_and_keep_their_order(self, store: Store) -> None:
        old = await claimed(store)
        await store.release(old.id, old.fence, "default", T)
        (task,) = await store.claim({"default": 1}, T)
        before = await commits(store)
        landed = await asyncio.gather(
            *(
                store.log(task.id, task.fence if n % 3 else old.fence, str(n), T)  # a third from a run that is over
                for n in range(300)
            )
        )
        assert landed == [n % 3 > 0 for n in range(300)]
        assert await commits(store) - before <= 3
        logged = [event.data for event in await store.events(task.id, 0, 999) if event.name == "log"]
        assert logged == [str(n) for n in range(300) if n % 3]

    @pytest.mark.parametrize("turns", [0, 1, 2, 5])
    async def test_a_caller_that_goes_away_neither_stops_nor_splits_its_write(
        self, store: Store, bells: Bells, turns: int
    ) -> None:
        tasks = [new_task(queue="q", args='{"x":"' + "y" * 300 + '"}', tags=("t",)) for _ in range(5)]
        bells.take()
        caller = asyncio.create_task(store.enqueue(tasks))
        await asyncio.sleep(0)  # it has handed its write over
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # the commit may have been quicker
            await caller
        await store.enqueue([new_task()])  # writes go in order: this one comes after
        found = await asyncio.gather(*(store.get(task.id) for task in tasks))
        assert [task.args for task in found if task] == [task.args for task in tasks]
        assert ("ready", "q", False) in bells.take(), "the run is started by the store, not by the caller"

    async def test_a_caller_that_goes_away_leaves_the_others_of_its_transaction_alone(
        self, store: Store, sql: Sql
    ) -> None:
        callers = [asyncio.create_task(store.enqueue([new_task(), keyed(f"k{n}")])) for n in range(40)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        done = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(answer, list) for answer in done[1::2])
        await store.probe()
        assert sql("SELECT count(*) FROM tasks") == [(80,)]
        assert sql("SELECT count(*) FROM idempotency_keys") == [(40,)]

    async def test_a_caller_that_goes_away_while_its_write_fails_leaves_no_warning(self, store: Store) -> None:
        await store.enqueue([keyed("k", "one")])
        caller = asyncio.create_task(store.enqueue([keyed("k", "two")]))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await store.probe()
        assert sum(count.n for count in await store.counts()) == 1

    async def test_a_reader_that_goes_away_leaves_the_other_readers_alone(self, store: Store) -> None:
        tasks = [new_task() for _ in range(20)]
        await store.enqueue(tasks)
        readers = [asyncio.create_task(store.get(task.id)) for task in tasks]
        await asyncio.sleep(0)
        for reader in readers[::2]:
            reader.cancel()
        done = await asyncio.gather(*readers, return_exceptions=True)
        assert [row.id for row in done[1::2] if not isinstance(row, BaseException) and row] == [
            task.id for task in tasks[1::2]
        ]
