"""Recovery: every task whose process died goes on, ends as asked, or is found to be the one that kills."""

from __future__ import annotations

import pytest

from quart_app.core.task import Claimed
from quart_app.services import rescuer as module
from quart_app.services.rescuer import Rescuer
from quart_app.store.base import Store
from tests.clock import VirtualClock
from tests.store.kit import ERROR, Sql, claimed, in_status, new_task
from tests.store.soundness import everything


async def claim(worker: Store, clock: VirtualClock) -> Claimed:
    """What `worker` gets next, suspect or not."""
    await worker.stage(clock.now(), 9)
    (task,) = await worker.claim("default", 1, clock.now()) or await worker.claim_suspect(clock.now())
    return task


async def test_what_another_worker_ran_when_it_died_is_pending_again_at_once(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    assert await Rescuer(store, clock, 10).run_once(clock.now()) == 1
    row = await store.get(task.id)
    assert row is not None
    assert (row.status, row.cause, row.attempt, row.crashes) == ("pending", "crash", 0, 1)
    again = await claim(store, clock)
    assert (again.id, again.attempt, again.fence) == (task.id, 1, 2)


async def test_what_the_dead_worker_was_not_running_is_left_alone(
    store: Store, rival: Store, clock: VirtualClock, sql: Sql
) -> None:
    for status in ("pending", "completed", "failed", "cancelled"):
        await in_status(rival, status, queue=status)
    await claimed(store)
    before = everything(sql)
    assert await Rescuer(store, clock, 10).run_once(clock.now()) == 0
    assert everything(sql) == before


async def test_a_cancel_that_was_asked_before_the_crash_is_carried_out(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await rival.cancel(task.id, clock.now())
    await Rescuer(store, clock, 10).run_once(clock.now())
    assert (await store.get(task.id)).status == "cancelled"  # type: ignore[union-attr]
    assert await store.stage(clock.now(), 9) == 0


async def test_a_worker_that_was_only_asleep_can_no_longer_write(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await Rescuer(store, clock, 10).run_once(clock.now())
    assert not await rival.complete(task.id, task.fence, "1", clock.now())
    again = await claim(store, clock)
    assert not await rival.fail(task.id, task.fence, ERROR, clock.now())
    assert await store.complete(again.id, again.fence, "2", clock.now())


async def test_recorded_steps_are_still_there_after_recovery(store: Store, rival: Store, clock: VirtualClock) -> None:
    task = await claimed(rival)
    await rival.record_step(task.id, task.fence, "a", "1", 1, clock.now(), False)
    await Rescuer(store, clock, 10).run_once(clock.now())
    assert (await claim(store, clock)).has_steps
    assert [step.output for step in await store.steps(task.id)] == ["1"]


async def test_a_task_that_kills_its_process_waits_longer_each_time_and_ends_poisoned(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    pauses = []
    told: list[tuple[object, ...]] = []
    await store.enqueue([new_task()])
    rescuer = Rescuer(store, clock, 10, on_end=lambda *end: told.append(end))
    for crash in range(1, 11):
        task = await claim(rival, clock)
        assert (task.crashes, task.attempt) == (crash - 1, 1)
        await rescuer.run_once(clock.now())
        due = await store.next_due()
        if due is not None:
            pauses.append(max(due - clock.now(), 0) // 1000)
            clock.advance(pauses[-1])
    assert pauses == [0, 0, 1, 5, 30, 120, 120, 120, 120]
    assert told == [*[("thumbnail", "crash", None)] * 9, ("thumbnail", "poisoned", None)]
    row = await store.get(task.id)
    assert row is not None
    assert (row.status, row.error_type, row.crashes, row.error_retryable) == ("failed", "poisoned", 10, 0)


async def test_an_innocent_that_records_a_step_between_the_kills_is_never_poisoned(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    await store.enqueue([new_task()])
    rescuer = Rescuer(store, clock, 3)
    for life in range(9):
        task = await claim(rival, clock)
        assert await rival.record_step(task.id, task.fence, f"step {life}", "1", life, clock.now(), task.crashes > 0)
        await rescuer.run_once(clock.now())
        assert (await store.get(task.id)).status == "pending"  # type: ignore[union-attr]
    assert len(await store.steps(task.id)) == 9


async def test_recovery_goes_on_in_bites_until_nothing_is_left(
    store: Store, rival: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    await store.enqueue([new_task() for _ in range(10)])
    await rival.claim("default", 10, clock.now())
    rescuer = Rescuer(store, clock, 10)
    assert [await rescuer.run_once(clock.now()) for _ in range(4)] == [4, 4, 2, 0]
    assert await store.stage(clock.now(), 99) == 10


async def test_a_second_recovery_of_the_same_orphans_changes_nothing(
    store: Store, rival: Store, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claimed(rival)
    orphans = await store.orphans(9)
    await Rescuer(store, clock, 10).run_once(clock.now())
    before = everything(sql)

    async def again(limit: int) -> object:
        return orphans

    monkeypatch.setattr(store, "orphans", again)  # what a kill in the middle of a recovery leads to
    await Rescuer(store, clock, 10).run_once(clock.now())
    assert everything(sql) == before


async def test_an_ordinary_end_of_recovery_leaves_a_whole_history(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await Rescuer(store, clock, 10).run_once(clock.now())
    again = await claim(store, clock)
    await store.complete(again.id, again.fence, "1", clock.now())
    causes = [event.cause for event in await store.events(task.id, 0, 99)]
    assert causes == ["enqueue", "claim", "crash", "claim", "complete"]
