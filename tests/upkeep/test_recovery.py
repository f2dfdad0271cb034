"""Recovery: every task whose process died goes on, ends as asked, or is found to be the one that kills."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.core.errors import StoreUnavailable
from quart_app.core.task import Claimed
from quart_app.engine.upkeep import loop as loop_module
from quart_app.engine.upkeep import recovery as module
from quart_app.engine.upkeep.loop import Loop
from quart_app.engine.upkeep.recovery import Recovery
from quart_app.store.protocols.tasks import Store
from tests.clock import VirtualClock
from tests.engine.engine import until
from tests.store.kit import ERROR, Sql, claimed, in_status, new_task, pending
from tests.store.soundness import everything


async def claim(worker: Store, clock: VirtualClock) -> Claimed:
    """What `worker` gets next, suspect or not."""
    await worker.make_ready(clock.now(), 9)
    (task,) = await worker.claim({"default": 1}, clock.now()) or await worker.claim_suspects(2, 99, 1, clock.now())
    return task


async def test_what_another_worker_ran_when_it_died_is_pending_again_at_once(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    assert await Recovery(store, clock, 10).bite(clock.now()) == 1
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
    assert await Recovery(store, clock, 10).bite(clock.now()) == 0
    assert everything(sql) == before


async def test_a_cancel_that_was_asked_before_the_crash_is_carried_out(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await rival.cancel(task.id, clock.now())
    await Recovery(store, clock, 10).bite(clock.now())
    assert (await store.get(task.id)).status == "cancelled"  # type: ignore[union-attr]
    assert await store.make_ready(clock.now(), 9) == 0


async def test_a_worker_that_was_only_asleep_can_no_longer_write(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await Recovery(store, clock, 10).bite(clock.now())
    assert not await rival.complete(task.id, task.fence, "1", clock.now())
    again = await claim(store, clock)
    assert not await rival.fail(task.id, task.fence, ERROR, clock.now())
    assert await store.complete(again.id, again.fence, "2", clock.now())


async def test_recorded_steps_are_still_there_after_recovery(store: Store, rival: Store, clock: VirtualClock) -> None:
    task = await claimed(rival)
    await rival.record_step(task.id, task.fence, "a", "1", 1, clock.now(), False)
    await Recovery(store, clock, 10).bite(clock.now())
    assert (await claim(store, clock)).has_steps
    assert [step.output for step in await store.steps(task.id)] == ["1"]


async def test_a_task_that_kills_its_process_waits_longer_each_time_and_ends_poisoned(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    pauses = []
    told: list[tuple[object, ...]] = []
    await store.enqueue([new_task()])
    rescuer = Recovery(store, clock, 10, on_end=lambda *end: told.append(end))
    for crash in range(1, 11):
        rival.worker = f"life {crash}"
        task = await claim(rival, clock)
        assert (task.crashes, task.attempt) == (crash - 1, 1)
        await rescuer.bite(clock.now())
        due = await store.next_due()
        pauses.append(0 if due is None else (due - clock.now()) // 1000)
        clock.advance(pauses[-1])
    assert pauses == [0, 0, 1, 5, 30, 120, 120, 120, 120, 0]
    assert told == [*[("thumbnail", "crash", None)] * 9, ("thumbnail", "poisoned", None)]
    row = await store.get(task.id)
    assert row is not None
    assert (row.status, row.error_type, row.crashes, row.error_retryable) == ("failed", "poisoned", 10, 0)


async def test_an_innocent_that_records_a_step_between_the_kills_is_never_poisoned(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    await store.enqueue([new_task()])
    rescuer = Recovery(store, clock, 3)
    for life in range(9):
        task = await claim(rival, clock)
        assert await rival.record_step(task.id, task.fence, f"step {life}", "1", life, clock.now(), task.crashes > 0)
        await rescuer.bite(clock.now())
        assert (await store.get(task.id)).status == "pending"  # type: ignore[union-attr]
    assert len(await store.steps(task.id)) == 9


async def test_recovery_goes_on_in_bites_until_nothing_is_left(
    store: Store, rival: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    await store.enqueue([new_task() for _ in range(10)])
    await rival.claim({"default": 10}, clock.now())
    rescuer = Recovery(store, clock, 10)
    assert [await rescuer.bite(clock.now()) for _ in range(4)] == [4, 4, 2, 0]
    assert len(await store.claim({"default": 99}, clock.now())) == 10


async def test_a_second_recovery_of_the_same_orphans_changes_nothing(
    store: Store, rival: Store, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claimed(rival)
    orphans = await store.orphans(9, 9)
    await Recovery(store, clock, 10).bite(clock.now())
    before = everything(sql)

    async def again(limit: int, from_crashes: int) -> object:
        return orphans

    monkeypatch.setattr(store, "orphans", again)  # what a kill in the middle of a recovery leads to
    await Recovery(store, clock, 10).bite(clock.now())
    assert everything(sql) == before


async def test_an_ordinary_end_of_recovery_leaves_a_whole_history(
    store: Store, rival: Store, clock: VirtualClock
) -> None:
    task = await claimed(rival)
    await Recovery(store, clock, 10).bite(clock.now())
    again = await claim(store, clock)
    await store.complete(again.id, again.fence, "1", clock.now())
    causes = [event.cause for event in await store.events(task.id, 0, 99)]
    assert causes == ["enqueue", "claim", "crash", "claim", "complete"]


async def test_one_busy_moment_does_not_end_the_recovery(
    store: Store, rival: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 orphans in bites of 8 one cannot be written at first."""
    monkeypatch.setattr(module, "CHUNK", 8)
    monkeypatch.setattr(loop_module, "PAUSE_AFTER_TROUBLE", 0.0)
    tasks = [new_task() for _ in range(20)]
    await store.enqueue(tasks)
    await rival.claim({"default": 20}, clock.now())
    crash = store.crash
    trouble = [StoreUnavailable("too many writes are waiting")]

    async def troubled(task_id: str, *args: Any) -> Any:
        if task_id == tasks[11].id and trouble:
            raise trouble.pop()
        return await crash(task_id, *args)

    monkeypatch.setattr(store, "crash", troubled)
    rescuer = Recovery(store, clock, 10)
    recovery = Loop("recovery", rescuer.run_once, clock, interval=3600)
    recovery.start()
    await until(lambda: rescuer.recovered, "the end of the recovery")
    await recovery.stop()
    assert not trouble
    assert len(await store.claim({"default": 99}, clock.now())) == 20


# --- who is to blame


class Lives:
    """Lives of a server, each of which ends in a kill."""

    def __init__(self, store: Store, clock: VirtualClock, max_crashes: int) -> None:
        self.store = store
        self.clock = clock
        self.rescuer = Recovery(store, clock, max_crashes)
        self.number = 0

    async def one(self, *running: str, then: tuple[str, ...] = ()) -> None:
        """Those that run when the kill comes; and those that complete after it, before the next life."""
        self.number += 1
        await self._run(f"life {self.number}", running, end=False)
        self.store.worker = f"after life {self.number}"
        assert await self.rescuer.bite(self.clock.now()) == len(running)
        await self._run(self.store.worker, then, end=True)

    async def _run(self, worker: str, ids: tuple[str, ...], end: bool) -> None:
        self.store.worker = worker
        now = self.clock.advance(130)
        await self.store.make_ready(now, 99)
        for task in [*await self.store.claim({"default": 99}, now), *await self.store.claim_suspects(2, 99, 99, now)]:
            if task.id not in ids:
                await self.store.release(task.id, task.fence, task.queue, now)
            elif end:
                await self.store.complete(task.id, task.fence, "1", now)

    async def state(self, task_id: str) -> tuple[str, int, str | None]:
        row = await self.store.get(task_id)
        assert row is not None
        return row.status, row.crashes, row.error_type


async def test_an_innocent_beside_ever_new_poison_is_not_called_poisoned(store: Store, clock: VirtualClock) -> None:
    """It runs whenever a new one kills for the first two times, and never gets to its end. Each of these is found out
    when it kills alone."""
    lives = Lives(store, clock, max_crashes=5)
    innocent = await pending(store)
    for _ in range(6):
        poison = await pending(store)
        for _ in range(2):
            await lives.one(innocent, poison)
        for _ in range(3):
            assert await lives.state(poison) == ("pending", lives.number % 5, None)
            await lives.one(poison)
        assert await lives.state(poison) == ("failed", 5, "poisoned")
    assert await lives.state(innocent) == ("pending", 12, None)
    await lives.one(innocent, then=(innocent,))
    assert await lives.state(innocent) == ("completed", 0, None)


async def test_a_poison_that_never_runs_alone_is_found_out_when_all_the_others_have_ended(
    store: Store, clock: VirtualClock
) -> None:
    lives = Lives(store, clock, max_crashes=5)
    poison = await pending(store)
    for crash in range(1, 6):
        assert await lives.state(poison) == ("pending", crash - 1, None)
        healthy = (await pending(store), await pending(store))
        await lives.one(poison, *healthy, then=healthy)
    assert await lives.state(poison) == ("failed", 5, "poisoned")


async def test_a_poison_beside_one_that_does_not_end_waits_for_the_proof(store: Store, clock: VirtualClock) -> None:
    lives = Lives(store, clock, max_crashes=3)
    poison, long = await pending(store), await pending(store)
    for _ in range(7):
        await lives.one(poison, long)
    assert await lives.state(poison) == await lives.state(long) == ("pending", 7, None)
    await lives.one(poison, then=(long,))
    assert await lives.state(poison) == ("failed", 8, "poisoned")
    assert await lives.state(long) == ("completed", 0, None)


@pytest.mark.parametrize("delete", [False, True])
async def test_a_poison_that_is_cancelled_leaves_no_blame_to_the_others(
    store: Store, clock: VirtualClock, delete: bool
) -> None:
    lives = Lives(store, clock, max_crashes=4)
    innocent, poison = await pending(store), await pending(store)
    for _ in range(6):
        await lives.one(innocent, poison)
    assert await store.cancel(poison, clock.now()) == "cancelled"
    if delete:
        assert await store.delete(poison)
    await lives.one(innocent)
    assert await lives.state(innocent) == ("pending", 7, None), "one crash of its own is none too many"
    await lives.one(innocent)
    assert await lives.state(innocent) == ("failed", 8, "poisoned")


async def test_what_is_known_of_crashes_is_forgotten_when_everybody_has_made_headway(
    store: Store, clock: VirtualClock, sql: Sql
) -> None:
    lives = Lives(store, clock, max_crashes=5)
    tasks = [await pending(store) for _ in range(3)]
    await lives.one(*tasks, then=tuple(tasks[:2]))
    assert await store.tidy_crash_groups(99) == 2
    assert sql("SELECT count(*) FROM crash_groups") == [(1,)]
    await lives.one(tasks[2], then=(tasks[2],))
    assert await store.tidy_crash_groups(99) == 2
