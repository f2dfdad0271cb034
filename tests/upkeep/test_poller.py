"""The poller makes what is due ready, ends what did not start in time, and costs an idle system nothing."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.core.errors import StoreUnavailable
from quart_app.engine.upkeep import poller as module
from quart_app.engine.upkeep.poller import Poller
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import VirtualClock
from tests.store.kit import new_task, pending


class Reads:
    """Counts what reaches the database."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("read", "write"):
            monkeypatch.setattr(database, name, self._counting(getattr(database, name)))

    def _counting(self, method: Any) -> Any:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return await method(*args, **kwargs)

        return counted


async def ready(store: Store) -> int:
    return sum(count.n for count in await store.counts() if count.ready)


async def settle(poller: Poller, clock: VirtualClock) -> float | None:
    """Turn the poller as its loop does, until it wants to wait; for how long."""
    while (wait := await poller.run_once(clock.now())) == 0.0:
        pass
    return wait


async def test_an_idle_system_costs_one_look_and_then_nothing(
    store: Store, clock: VirtualClock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(database, monkeypatch)
    poller = Poller(store)
    assert await settle(poller, clock) is None
    first = reads.count
    for _ in range(100):
        clock.advance(1)
        assert await poller.run_once(clock.now()) is None
    assert reads.count == first > 0


async def test_a_delayed_task_becomes_ready_when_its_time_comes_and_not_before(
    store: Store, clock: VirtualClock
) -> None:
    await store.enqueue([new_task(delay=10_000)])
    poller = Poller(store)
    assert await settle(poller, clock) == 1.0, "the wall clock may step, so never longer than a second"
    clock.advance(9.5)
    assert await settle(poller, clock) == 0.5
    assert await ready(store) == 0
    clock.advance(0.5)
    assert await settle(poller, clock) is None
    assert await ready(store) == 1


async def test_a_task_that_did_not_start_in_time_is_ended(store: Store, clock: VirtualClock) -> None:
    task_id = await pending(store, expires_at=clock.now() + 300)
    poller = Poller(store)
    assert await settle(poller, clock) == 0.3
    clock.advance(0.3)
    assert await settle(poller, clock) is None
    assert (await store.get(task_id)).cause == "expire"  # type: ignore[union-attr]


async def test_a_doorbell_for_an_earlier_time_is_taken_note_of_and_a_later_one_is_not(
    store: Store, clock: VirtualClock
) -> None:
    poller = Poller(store)
    await settle(poller, clock)
    assert poller.due_at(clock.now() + 5_000)
    assert not poller.due_at(clock.now() + 5_000)
    assert not poller.due_at(clock.now() + 9_000)
    assert poller.due_at(clock.now() + 700)
    assert await settle(poller, clock) == 0.7


async def test_a_bell_that_rang_for_nothing_costs_one_look(store: Store, clock: VirtualClock) -> None:
    poller = Poller(store)
    await settle(poller, clock)
    poller.due_at(clock.now() + 100)
    clock.advance(0.1)
    assert await settle(poller, clock) is None


async def test_more_than_a_bite_that_is_due_at_once_is_taken_in_bites_without_a_pause(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    await store.enqueue(
        [new_task(delay=1) for _ in range(7)] + [new_task(expires_at=clock.now() + 1) for _ in range(4)]
    )
    poller = Poller(store)
    clock.advance(0.001)
    assert await poller.run_once(clock.now()) == 0.0
    assert await settle(poller, clock) is None
    assert await ready(store) == 7
    assert {count.n for count in await store.counts() if count.status == "failed"} == {4}


async def test_a_poller_that_starts_late_finds_what_became_due_meanwhile(store: Store, clock: VirtualClock) -> None:
    await store.enqueue([new_task(delay=5_000), new_task(delay=50_000)])
    clock.advance(20)
    poller = Poller(store)
    assert await settle(poller, clock) == 1.0
    assert await ready(store) == 1


async def test_a_clock_that_steps_forward_makes_nothing_wait_longer(store: Store, clock: VirtualClock) -> None:
    await store.enqueue([new_task(delay=3_600_000)])
    poller = Poller(store)
    await settle(poller, clock)
    clock.step(7200)
    await settle(poller, clock)
    assert await ready(store) == 1


async def test_a_store_that_cannot_write_now_is_asked_again(
    store: Store, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.enqueue([new_task(delay=1)])
    clock.advance(1)
    poller = Poller(store)

    async def full(*_: object) -> int:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "expire", full)
        with pytest.raises(StoreUnavailable):
            await poller.run_once(clock.now())
    await store.enqueue([new_task(now=clock.now(), delay=0, expires_at=clock.now())])
    assert await settle(poller, clock) is None
    assert await ready(store) == 1
    assert [count.n for count in await store.counts() if count.status == "failed"] == [1]
