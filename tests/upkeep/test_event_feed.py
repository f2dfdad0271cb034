"""Tails of the event log: every event once and in order, whatever falls between the rows and the feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from quart_app.core.task import FeedEvent
from quart_app.engine.upkeep.loop import Loop
from quart_app.service import event_feed as module
from quart_app.service.event_feed import EventFeed, Tail
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import VirtualClock
from tests.store.kit import Sql, T, claimed, in_status, pending

SOON = 20.0  # seconds; only a broken feed comes near it


@pytest.fixture
async def feed(store: Store, database: Database) -> AsyncIterator[EventFeed]:
    """A feed that the store rings."""
    made = EventFeed(store)
    loop = Loop("feed", made.run_once, VirtualClock(), interval=SOON)
    made.notify = database.on_commit = loop.notify
    loop.start()
    yield made
    await loop.stop()


async def take(tail: Tail, count: int) -> list[int]:
    """The numbers of the next events, at least `count`."""
    found: list[int] = []
    while len(found) < count:
        events = await tail.next(SOON)
        assert events, f"nothing after {found}"
        found += [event.seq for event in events]
    return found


async def chat(store: Store, lines: int, size: int = 10) -> str:
    """A running task that has said something."""
    task = await claimed(store)
    for _ in range(lines):
        await store.log(task.id, task.fence, '{"message":"%s"}' % ("x" * size), T)
    return task.id


def numbers(sql: Sql, task_id: str | None = None) -> list[int]:
    where = "WHERE t.id = ?" if task_id else ""
    query = f"SELECT e.seq FROM events e JOIN tasks t ON t.seq = e.task {where} ORDER BY e.seq"
    return [seq for (seq,) in sql(query, *([task_id] if task_id else []))]


async def test_a_tail_has_the_rows_first_then_what_is_committed(feed: EventFeed, store: Store, sql: Sql) -> None:
    task = await claimed(store)
    tail = await feed.follow(task.id, 0)
    assert await take(tail, 2) == [1, 2]
    await pending(store, queue="other")
    await store.log(task.id, task.fence, "{}", T)
    assert await take(tail, 1) == [4]
    await store.complete(task.id, task.fence, "1", T)
    assert await take(tail, 1) == [5]
    assert tail.ended
    assert await tail.next(SOON) == []


async def test_a_tail_ends_after_the_last_end_of_a_task_that_ran_again(feed: EventFeed, store: Store) -> None:
    failed = await in_status(store, "failed")
    await store.rerun(failed.id, False, T)
    tail = await feed.follow(failed.id, 0)
    assert await take(tail, 4) == [1, 2, 3, 4]
    assert not tail.ended
    (again,) = await store.claim({"default": 1}, T)
    await store.complete(again.id, again.fence, "1", T)
    assert await take(tail, 2) == [5, 6]
    assert tail.ended


@pytest.mark.parametrize("page", [1, 2, 3, 4])
async def test_pages_of_any_size_end_with_the_task(
    feed: EventFeed, store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", page)
    ended = await in_status(store, "completed")
    tail = await feed.follow(ended.id, 0)
    assert await take(tail, 3) == [1, 2, 3]
    assert await tail.next(SOON) == []
    assert tail.ended


async def test_a_tail_that_falls_behind_reads_the_rows_and_joins_again(
    feed: EventFeed, store: Store, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 1000)
    task_id = await chat(store, 3)
    tail, everything = await feed.follow(task_id, 0), await feed.follow_all(0, None, None, None)
    found = await take(tail, 5)
    for _ in range(4):
        (row,) = sql("SELECT fence FROM tasks WHERE id = ?", task_id)
        for _ in range(20):
            await store.log(task_id, row[0], "{}", T)
        found += await take(tail, 10)
    found += await take(tail, len(numbers(sql)) - len(found))
    assert found == numbers(sql)
    assert await take(everything, len(found)) == found


async def test_what_is_handed_over_at_once_is_bounded_in_bytes(feed: EventFeed, store: Store) -> None:
    task_id = await chat(store, 40, size=15_000)
    tail = await feed.follow(task_id, 0)
    seen = 0
    while seen < 42:
        events = await tail.next(SOON)
        assert sum(event.size for event in events) <= max(module.ROOM, events[0].size)
        seen += len(events)
    assert seen == 42


async def test_a_follower_of_all_joins_from_now_on_or_from_anywhere(feed: EventFeed, store: Store, sql: Sql) -> None:
    await in_status(store, "completed")
    now, some, future = [await feed.follow_all(after, None, None, None) for after in (None, 2, 10**17)]
    await pending(store)
    assert await take(now, 1) == [4]
    assert await take(some, 2) == [3, 4]
    assert await take(future, 1) == [4]


async def test_who_names_an_event_that_never_was_follows_a_task_from_now_on(feed: EventFeed, store: Store) -> None:
    task = await claimed(store)
    tail = await feed.follow(task.id, 10**17)
    await store.complete(task.id, task.fence, "1", T)
    assert await take(tail, 1) == [3]


async def test_filters_let_through_what_they_name_from_rows_and_feed(feed: EventFeed, store: Store) -> None:
    def match(event: FeedEvent) -> tuple[str, str, str]:
        return event.kind, event.event.status, event.owner

    await in_status(store, "completed", kind="mail", owner="ann")
    await in_status(store, "completed", kind="add", owner="bob")
    tail = await feed.follow_all(0, "mail", "completed", "ann")
    assert [match(event) for event in await tail.next(SOON)] == [("mail", "completed", "ann")]
    for kind, owner in (("mail", "bob"), ("add", "ann"), ("mail", "ann")):
        await in_status(store, "completed", kind=kind, owner=owner)
    (event,) = await tail.next(SOON)
    assert (match(event), event.seq) == (("mail", "completed", "ann"), 15)


async def test_an_event_is_the_same_object_for_all_who_follow_it(feed: EventFeed, store: Store) -> None:
    """So that it is rendered once."""
    task = await claimed(store)
    tails = [await feed.follow(task.id, 2) for _ in range(3)] + [await feed.follow_all(None, None, None, None)]
    for tail in tails:
        assert await tail.next(0.01) == []
        while tail._behind:  # on a busy machine that was too short for the rows of before
            assert await tail.next(0.05) == []
    await store.complete(task.id, task.fence, "1", T)
    found = [await tail.next(SOON) for tail in tails]
    assert len({id(events[0]) for events in found}) == 1


async def test_a_task_that_is_gone_or_was_told_to_the_end_is_over(feed: EventFeed, store: Store) -> None:
    ended = await in_status(store, "completed")
    running = await claimed(store)
    assert await (await feed.follow(ended.id, 3)).over()
    assert not await (await feed.follow(ended.id, 2)).over()
    assert not await (await feed.follow(running.id, 99)).over()
    tail = await feed.follow(ended.id, 2)
    await store.delete(ended.id)
    assert await tail.over()


async def test_events_of_many_writers_reach_tails_that_come_and_go_once_and_in_order(
    feed: EventFeed, store: Store, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 2000)
    monkeypatch.setattr(module, "PAGE", 7)

    async def follow(number: int) -> list[int]:
        """Leaves after every few events and comes back with the last number."""
        found: list[int] = []
        while len(found) < 300:
            tail = await feed.follow_all(found[-1] if found else 0, None, None, None)
            for _ in range(number % 3 + 1):
                found += [event.seq for event in await tail.next(SOON)]
                if len(found) == 300:
                    break  # nothing more comes
            tail.close()
        return found

    async def write() -> None:
        for _ in range(100):
            task = await claimed(store)
            await store.complete(task.id, task.fence, "1", T)

    found, _ = await asyncio.gather(asyncio.gather(*(follow(number) for number in range(10))), write())
    assert all(one == numbers(sql) for one in found)


async def test_nobody_there_costs_no_read(feed: EventFeed, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("read for nobody")

    tail = await feed.follow_all(None, None, None, None)
    tail.close()
    monkeypatch.setattr(store, "feed", never)
    await pending(store)
    assert await feed.run_once(T) is None
    assert not feed.watched
    assert feed.position == -1


async def test_a_stop_ends_every_tail_and_those_to_come(feed: EventFeed, store: Store) -> None:
    task = await claimed(store)
    waiting = await feed.follow(task.id, 99)
    pause = asyncio.create_task(waiting.next(SOON))
    await asyncio.sleep(0)
    feed.stop()
    assert await pause == []
    assert waiting.stopped
    assert (await feed.follow(task.id, 0)).stopped
