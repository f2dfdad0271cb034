"""Retention by age and by number, in bites, and never anything that has not ended."""

from __future__ import annotations

import pytest

from quart_app.engine.upkeep import retention as module
from quart_app.engine.upkeep.retention import PAUSE, Retention
from quart_app.store.protocols.tasks import Store
from tests.clock import START, VirtualClock
from tests.store.kit import Sql, in_status, keyed, pending
from tests.store.soundness import assert_counters_equal_a_real_count, everything

DAY = 86_400


async def ended(store: Store, number: int, now: int = START, **changes: object) -> list[str]:
    return [(await in_status(store, "completed", now + n, **changes)).id for n in range(number)]


async def left(store: Store) -> int:
    return sum(count.n for count in await store.counts())


async def test_ended_tasks_go_when_they_are_old_enough_and_not_before(store: Store, clock: VirtualClock) -> None:
    await ended(store, 3)
    await in_status(store, "failed")
    waiting = await pending(store, queue="q")
    running = await in_status(store, "processing")
    pruner = Retention(store, DAY, 0)
    assert await pruner.run_once(START + DAY * 1000) is None
    assert await left(store) == 6
    assert await pruner.run_once(START + DAY * 1000 + 3) == PAUSE
    assert await pruner.run_once(START + DAY * 1000 + 3) is None
    assert await left(store) == 2
    assert await store.get(waiting) is not None
    assert await store.get(running.id) is not None


async def test_zero_seconds_and_zero_rows_keep_everything(store: Store, sql: Sql) -> None:
    await ended(store, 3)
    before = everything(sql)
    assert await Retention(store, 0, 0).run_once(START + 10**12) is None
    assert everything(sql) == before


async def test_beyond_a_number_the_oldest_go_whatever_their_age(store: Store, clock: VirtualClock) -> None:
    ids = await ended(store, 5)
    await pending(store, queue="q")
    pruner = Retention(store, 0, 3)
    assert await pruner.run_once(START + 10) == PAUSE
    assert [await store.get(task_id) is None for task_id in ids] == [True, True, False, False, False]
    assert await pruner.run_once(START + 10) is None
    assert await left(store) == 4


async def test_a_bite_is_small_and_says_that_there_is_more(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    await ended(store, 10)
    pruner = Retention(store, DAY, 0)
    later = START + 2 * DAY * 1000
    assert [await pruner.run_once(later) for _ in range(4)] == [PAUSE, PAUSE, PAUSE, None]
    assert await left(store) == 0


async def test_both_limits_hold_together(store: Store, clock: VirtualClock) -> None:
    await ended(store, 4)
    await ended(store, 4, now=START + DAY * 1000)
    pruner = Retention(store, DAY, 2)
    while await pruner.run_once(START + DAY * 1000 + 100) is not None:
        pass
    assert await left(store) == 2


async def test_a_kinds_own_retention_is_kept_to(store: Store) -> None:
    await ended(store, 2, retention_ms=50)
    forever = await ended(store, 1, retention_ms=10**12)
    await Retention(store, DAY, 0).run_once(START + 100)
    assert await left(store) == 1
    await Retention(store, DAY, 0).run_once(START + 30 * DAY * 1000)
    assert await store.get(forever[0]) is not None


async def test_old_keys_go_with_it_even_when_every_task_is_kept(store: Store, sql: Sql) -> None:
    await store.enqueue([keyed("k", keep=100)])
    assert await Retention(store, 0, 0).run_once(START + 100) == PAUSE
    assert sql("SELECT count(*) FROM idempotency_keys") == [(0,)]


async def test_nothing_is_kept_of_a_queue_whose_tasks_are_gone(
    store: Store, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    for number in range(6):
        task_id = await pending(store, queue=f"q{number}")
        await store.cancel(task_id, START)
        await store.delete(task_id)
    await pending(store, queue="in use")
    pruner = Retention(store, 0, 0)
    bites = 1
    while await pruner.run_once(START) is not None:
        bites += 1
    assert bites == 4, "twelve rows at 0, four a bite, and a look"
    assert sql("SELECT queue, status, n FROM counters") == [("in use", "pending", 1)]
    assert_counters_equal_a_real_count(sql)
    # A queue that comes back is counted again.
    await pending(store, queue="q0")
    assert_counters_equal_a_real_count(sql)
