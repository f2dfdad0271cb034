"""Unique keys in the store: the policies, who waits behind whom, and what the end of a task means for its key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from quart_app.core.errors import DuplicateTask, IdempotencyConflict, UploadNotFound
from quart_app.core.task import Enqueued, NewTask, TaskFilter
from quart_app.store.audit import audit
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.store.kit import ERROR, Bells, Sql, T, new_task


def unique(on_duplicate: Any = "return", key: str = "k", now: int = T, **changes: Any) -> NewTask:
    return new_task(now, unique_key=key, on_duplicate=on_duplicate, **changes)


def debounce(now: int = T, seconds: int = 10, **changes: Any) -> NewTask:
    wait = seconds * 1000
    return unique("debounce", now=now, delay=wait, debounce_ms=wait, delay_ms=wait, **changes)


async def put(store: SqlStore, task: NewTask) -> Enqueued:
    (made,) = await store.enqueue([task])
    return made


async def start(store: SqlStore, now: int = T) -> Any:
    (task,) = await store.claim({"default": 1}, now)
    return task


@pytest.fixture
def path(database: Database) -> Path:
    return database._path


@pytest.fixture(autouse=True)
def sound(path: Path) -> Any:
    yield
    assert audit(path).findings == []


async def test_while_one_has_not_ended_it_is_the_answer(store: SqlStore) -> None:
    first = await put(store, unique())
    assert (first.status, first.duplicate) == ("pending", False)
    assert await put(store, unique()) == Enqueued(first.id, "pending", duplicate=True)
    claim = await start(store)
    assert claim.id == first.id
    assert await put(store, unique()) == Enqueued(first.id, "processing", duplicate=True)
    await store.complete(first.id, claim.fence, "1", T)
    after = await put(store, unique())
    assert not after.duplicate
    assert after.id != first.id
    assert [task.id for task in await store.find(TaskFilter(unique_key="k"))] == [after.id, first.id]


async def test_a_key_belongs_to_owner_and_kind(store: SqlStore) -> None:
    made = [await put(store, unique(**who)) for who in ({}, {"owner": "ann"}, {"kind": "other"}, {"key": "l"})]
    assert len({one.id for one in made}) == 4
    assert not any(one.duplicate for one in made)


@pytest.mark.parametrize("running", [False, True])
async def test_reject_says_which_task_it_is(store: SqlStore, running: bool) -> None:
    first = await put(store, unique("reject"))
    if running:
        await start(store)
    with pytest.raises(DuplicateTask) as refused:
        await put(store, unique("reject"))
    assert refused.value.task_id == first.id
    assert len(await store.find(TaskFilter())) == 1


async def test_a_task_that_never_ran_takes_what_the_duplicate_asks_for(store: SqlStore, sql: Sql, bells: Bells) -> None:
    first = await put(store, unique("replace", tags=("a", "b"), args='{"x":"' + "y" * 300 + '"}', queue="slow"))
    bells.take()
    later = unique("replace", now=T + 5, args='{"x":1}', tags=("c",), priority=7, max_attempts=9, expires_at=T + 99_000)
    assert await put(store, later) == Enqueued(first.id, "pending", duplicate=True)
    assert bells.take() == [("changed", first.id), ("due", T + 99_000), ("ready", "default", False)]
    task = await store.get(first.id)
    assert task is not None
    assert (task.args, task.tags, task.queue) == ('{"x":1}', '["c"]', "default")
    assert (task.priority, task.max_attempts, task.run_at, task.created_at) == (7, 9, T + 5, T)
    await put(store, unique("replace", now=T + 6, args='{"x":"' + "z" * 300 + '"}'))
    again = await store.get(first.id)
    assert again is not None
    assert again.args == '{"x":"' + "z" * 300 + '"}'
    assert task.version < again.version
    assert sql("SELECT count(*) FROM events WHERE name = 'log'") == [(1,)], "a history is bounded"


async def test_a_running_one_is_left_and_a_second_waits_behind_it(store: SqlStore, bells: Bells) -> None:
    first = await put(store, unique("replace"))
    claim = await start(store)
    second = await put(store, unique("replace", args='{"x":2}', queue="other"))
    assert (second.status, second.duplicate) == ("pending", False)
    assert second.id != first.id
    assert await store.claim({"default": 9, "other": 9}, T) == []
    waiting = await store.get(second.id)
    assert waiting is not None
    assert waiting.waiting_for == "unique_key"
    third = await put(store, unique("replace", args='{"x":3}', queue="third"))
    assert third == Enqueued(second.id, "pending", duplicate=True)
    assert await put(store, unique()) == Enqueued(second.id, "pending", duplicate=True)
    assert await store.claim({"default": 9, "other": 9, "third": 9}, T) == []
    bells.take()
    await store.complete(first.id, claim.fence, "1", T + 1)
    assert ("ready", "third", False) in bells.take()
    (after,) = await store.claim({"third": 9}, T + 1)
    assert (after.id, after.args) == (second.id, '{"x":3}')


@pytest.mark.parametrize("again", ["retry", "release", "suspend", "crash"])
async def test_one_that_ran_before_and_is_pending_again_counts_as_running(store: SqlStore, again: str) -> None:
    first = await put(store, unique("replace"))
    claim = await start(store)
    ends: dict[str, Any] = {
        "retry": lambda: store.retry(first.id, claim.fence, ERROR, T + 5, T),
        "release": lambda: store.release(first.id, claim.fence, "default", T),
        "suspend": lambda: store.suspend(first.id, claim.fence, "kind:thumbnail", T),
        "crash": lambda: store.crash(first.id, claim.fence, None, T),
    }
    await ends[again]()
    second = await put(store, unique("replace"))
    assert second.id != first.id
    assert await store.cancel(first.id, T) == "cancelled"
    assert (await start(store)).id == second.id


async def test_the_one_ahead_has_the_key_again_when_the_one_behind_is_cancelled(store: SqlStore) -> None:
    first = await put(store, unique("replace"))
    claim = await start(store)
    second = await put(store, unique("replace"))
    assert await store.cancel(second.id, T) == "cancelled"
    assert await put(store, unique()) == Enqueued(first.id, "processing", duplicate=True)
    await store.complete(first.id, claim.fence, "1", T)
    assert not (await put(store, unique())).duplicate


async def test_one_behind_that_is_not_due_waits_for_its_time(store: SqlStore, bells: Bells) -> None:
    await put(store, unique("replace"))
    claim = await start(store)
    second = await put(store, unique("replace", delay=5000, delay_ms=5000))
    await store.make_ready(T + 9000, 9)
    assert await store.next_due() is None
    bells.take()
    await store.complete(claim.id, claim.fence, "1", T + 1)
    assert ("due", 0) in bells.take(), "the poller looks when the next one is due"
    assert await store.next_due() == T + 5000
    assert await store.claim({"default": 1}, T + 1) == []
    assert await store.make_ready(T + 5000, 9) == 1
    assert (await start(store, T + 5000)).id == second.id


async def test_each_duplicate_moves_the_start_but_not_for_ever(store: SqlStore) -> None:
    first = await put(store, debounce())
    starts = []
    for second in range(1, 101, 9):
        made = await put(store, debounce(T + second * 1000))
        assert made == Enqueued(first.id, "pending", duplicate=True)
        task = await store.get(first.id)
        assert task is not None
        starts.append((task.run_at - T) // 1000)
    assert starts == [11, 20, 29, 38, 47, 56, 65, 74, 83, 92, 100, 100]
    assert await store.make_ready(T + 99_999, 9) == 0
    await put(store, debounce(T + 200_000))
    (claim,) = await store.claim({"default": 9}, T + 200_000)
    assert claim.id == first.id


async def test_in_a_batch_the_second_finds_the_first(store: SqlStore) -> None:
    made = await store.enqueue([unique(), new_task(), unique("replace", args='{"x":2}'), unique(key="l"), unique()])
    assert [one.duplicate for one in made] == [False, False, True, False, True]
    assert made[0].id == made[2].id == made[4].id
    task = await store.get(made[0].id)
    assert task is not None
    assert task.args == '{"x":2}'


async def test_a_batch_with_a_rejected_task_makes_none(store: SqlStore) -> None:
    with pytest.raises(DuplicateTask) as refused:
        await store.enqueue([new_task(), unique(), unique("reject")])
    assert (refused.value.task_id, refused.value.index) == (None, 2)
    held = await put(store, unique())
    with pytest.raises(DuplicateTask) as refused:
        await store.enqueue([new_task(), unique("reject")])
    assert (refused.value.task_id, refused.value.index) == (held.id, 1)
    assert len(await store.find(TaskFilter())) == 1


@pytest.mark.parametrize("policy", ["return", "reject", "replace", "debounce"])
async def test_of_a_hundred_at_once_one_is_made(store: SqlStore, policy: Any) -> None:
    make = debounce if policy == "debounce" else lambda: unique(policy)
    others = [store.enqueue([new_task(kind="other")]) for _ in range(20)]
    asked = [store.enqueue([make()]) for _ in range(100)]
    answers = (await asyncio.gather(*asked, *others, return_exceptions=True))[:100]
    refused = [one for one in answers if isinstance(one, DuplicateTask)]
    made = [one[0] for one in answers if isinstance(one, list)]
    (task,) = await store.find(TaskFilter(unique_key="k"))
    assert {one.id for one in made} | {str(one.task_id) for one in refused} == {task.id}
    assert sum(not one.duplicate for one in made) == 1
    assert len(refused) == (99 if policy == "reject" else 0)
    assert len(await store.find(TaskFilter(kind="other"))) == 20


async def test_an_idempotency_key_is_decided_first(store: SqlStore) -> None:
    key: dict[str, Any] = {"idempotency_key": "i", "fingerprint": "f", "key_expires_at": T + 10**9}
    first = await put(store, unique("reject", **key))
    assert await put(store, unique("reject", **key)) == Enqueued(first.id, "pending", replayed=True)
    with pytest.raises(IdempotencyConflict):
        await put(store, unique("reject", **{**key, "fingerprint": "g"}))
    other = {**key, "idempotency_key": "j"}
    with pytest.raises(DuplicateTask):
        await put(store, unique("reject", **other))
    # A refused request has used no key; one that was answered with the holder has.
    assert await put(store, unique("return", **other)) == Enqueued(first.id, "pending", duplicate=True)
    claim = await start(store)
    await store.complete(first.id, claim.fence, "1", T)
    assert await put(store, unique("return", **other)) == Enqueued(first.id, "completed", replayed=True)


async def test_a_rerun_whose_key_another_holds_is_refused(store: SqlStore) -> None:
    first = await put(store, unique())
    await store.cancel(first.id, T)
    second = await put(store, unique())
    for restart in (False, True):
        with pytest.raises(DuplicateTask) as refused:
            await store.rerun(first.id, restart, T)
        assert refused.value.task_id == second.id
    await store.cancel(second.id, T)
    answers = await asyncio.gather(
        store.rerun(first.id, False, T), store.rerun(second.id, False, T), return_exceptions=True
    )
    assert answers[0] is True
    assert isinstance(answers[1], DuplicateTask)
    assert await put(store, unique()) == Enqueued(first.id, "pending", duplicate=True)


@pytest.mark.parametrize("ends", ["complete", "fail", "cancelled", "crash_out", "expire"])
async def test_every_end_gives_the_key_back_and_wakes_the_one_behind(store: SqlStore, bells: Bells, ends: str) -> None:
    first = await put(store, unique("replace", expires_at=T + 10 if ends == "expire" else None))
    if ends == "expire":
        await store.expire(T + 10, 9)
        assert not (await put(store, unique())).duplicate
        return
    claim = await start(store)
    second = await put(store, unique("replace"))
    bells.take()
    if ends == "cancelled":
        assert await store.cancel(first.id, T) == "requested"
    how: dict[str, Any] = {
        "complete": lambda: store.complete(first.id, claim.fence, "1", T),
        "fail": lambda: store.fail(first.id, claim.fence, ERROR, T),
        "cancelled": lambda: store.end_cancelled(first.id, claim.fence, T),
        "crash_out": lambda: store.crash_out(first.id, claim.fence, ERROR, T),
    }
    assert await how[ends]()
    assert ("ready", "default", False) in bells.take()
    assert (await start(store)).id == second.id


async def test_a_refused_write_beside_it_does_not_let_a_duplicate_through(store: SqlStore) -> None:
    """The first writes of a turn are run again when one of them is refused."""
    lost = unique("replace", uploads=("nowhere",))
    answers = await asyncio.gather(
        *(store.enqueue([one]) for one in (lost, unique(), unique())), return_exceptions=True
    )
    assert isinstance(answers[0], UploadNotFound)
    (task,) = await store.find(TaskFilter())
    assert [answer[0].id for answer in answers[1:]] == [task.id] * 2  # type: ignore[index]


async def test_known_keys_count_the_held_unique_ones(store: SqlStore) -> None:
    await put(store, unique())
    assert await store.known_keys([unique(), unique()])
    assert not await store.known_keys([unique(), unique(key="free")])
