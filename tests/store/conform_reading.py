"""get, find, counts, health: what readers see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quart_app.core.task import STATUSES, NewTask, Task, TaskFilter
from quart_app.store.protocols.tasks import Store
from tests.store.kit import T, claimed, in_status, new_task, pending


async def sample(store: Store) -> list[NewTask]:
    """Sixty tasks, two a millisecond, of every mixture of the things a listing can ask for."""
    tasks = [
        new_task(
            now=T + n // 2,
            kind=("add", "thumbnail", "mail")[n % 3],
            queue=("default", "audit")[n % 2],
            owner=("", "ann", "bob")[n % 3],
            tags=tuple(tag for tag, every in (("third", 3), ("fifth", 5)) if n % every == 0),
        )
        for n in range(60)
    ]
    await store.enqueue(tasks)
    for task in (await store.claim({"audit": 12}, T + 99))[:8]:
        await store.complete(task.id, task.fence, '{"ok":1}', T + 99)
    await store.cancel(tasks[0].id, T + 99)
    return tasks


async def all_of(store: Store, wanted: TaskFilter) -> list[Task]:
    rows = await store.find(wanted)
    assert len(rows) < wanted.limit
    return rows


WANTED: list[dict[str, Any]] = [
    {},
    {"kind": "add"},
    {"kind": "nothing"},
    {"queue": "audit"},
    {"queue": "default"},
    {"queue": "nothing"},
    {"owner": "ann"},
    {"owner": ""},
    {"owner": "nobody"},
    {"tag": "fifth"},
    {"tag": "nothing"},
    *({"status": status} for status in STATUSES),
    {"created_after": T + 10},
    {"created_after": T - 1},
    {"created_after": T + 29},
    {"created_before": T + 10},
    {"created_before": T},
    {"created_before": T + 10**7},
    {"created_after": T + 5, "created_before": T + 7},
    {"created_after": T + 7, "created_before": T + 7},
    {"kind": "add", "queue": "audit"},
    {"kind": "mail", "owner": "bob", "queue": "default"},
    {"status": "completed", "queue": "audit", "created_after": T + 3},
    {"tag": "third", "owner": "", "created_before": T + 20},
    {"tag": "fifth", "status": "pending", "queue": "default", "kind": "thumbnail"},
]


def matches(row: tuple[NewTask, str], wanted: dict[str, Any]) -> bool:
    task, status = row
    for name, value in wanted.items():
        match name:
            case "status":
                found = status == value
            case "tag":
                found = value in task.tags
            case "created_after":
                found = task.created_at > value
            case "created_before":
                found = task.created_at < value
            case _:
                found = getattr(task, name) == value
        if not found:
            return False
    return True


class Reading:
    async def test_an_unknown_id_is_nothing(self, store: Store) -> None:
        assert await store.get("no-such-id") is None
        assert await store.steps("no-such-id") == []
        assert await store.errors("no-such-id", 9) == []

    async def test_many_reads_at_once_each_get_their_own_task(self, store: Store) -> None:
        tasks = [new_task(args=f'{{"n":{n}}}') for n in range(300)]
        await store.enqueue(tasks)
        ids = [task.id for task in tasks] + ["unknown", tasks[0].id]
        found = await asyncio.gather(*(store.get(task_id) for task_id in ids))
        assert [task.id if task else "unknown" for task in found] == ids
        assert [task.args for task in found if task] == [task.args for task in tasks] + [tasks[0].args]

    async def test_a_read_after_a_write_sees_it(self, store: Store) -> None:
        for _ in range(30):
            task = await claimed(store)
            await store.complete(task.id, task.fence, "1", T)
            assert (await store.get(task.id)).status == "completed"  # type: ignore[union-attr]

    @pytest.mark.parametrize("wanted", WANTED, ids=str)
    async def test_a_listing_has_all_that_match_newest_first_and_nothing_else(
        self, store: Store, wanted: dict[str, Any]
    ) -> None:
        tasks = await sample(store)
        statuses = {row.id: row.status for row in await all_of(store, TaskFilter(limit=200))}
        expected = [task.id for task in tasks if matches((task, statuses[task.id]), wanted)]
        assert [row.id for row in await all_of(store, TaskFilter(limit=200, **wanted))] == expected[::-1]

    @pytest.mark.parametrize("wanted", WANTED, ids=str)
    @pytest.mark.parametrize("page", [1, 7])
    async def test_pages_are_complete_and_without_repeats_while_tasks_come_and_go(
        self, store: Store, wanted: dict[str, Any], page: int
    ) -> None:
        await sample(store)
        expected = [row.id for row in await all_of(store, TaskFilter(limit=200, **wanted))]
        seen: list[str] = []
        cursor = None
        while rows := await store.find(TaskFilter(limit=page, before_seq=cursor, **wanted)):
            assert len(rows) <= page
            seen += [row.id for row in rows]
            cursor = rows[-1].seq
            # Newer tasks do not shift the pages.
            await store.enqueue([new_task(now=T + 4, kind="add", queue="audit", owner="ann", tags=("third", "fifth"))])
        assert seen == expected

    async def test_a_listing_leaves_the_documents_out_unless_they_are_asked_for(self, store: Store) -> None:
        await in_status(store, "completed", args='{"a":1}')
        await in_status(store, "completed", args='{"a":"' + "x" * 999 + '"}')
        assert [(row.args, row.result) for row in await store.find(TaskFilter())] == [(None, None)] * 2
        for row in await store.find(TaskFilter(documents=True)):
            assert row == await store.get(row.id)
            assert row.result == '{"ok":true}'

    async def test_a_listing_by_time_has_all_of_a_call_whatever_the_order_of_its_ids(self, store: Store) -> None:
        # Ids of one millisecond come in any order; that of the calls is the order of seq.
        ids = sorted(new_task().id for _ in range(20))
        await store.enqueue([new_task(id=task_id) for task_id in [*ids[10:][::-1], *ids[:10][::-1]]])
        assert len(await all_of(store, TaskFilter(created_after=T - 3_600_000))) == 20
        assert len(await all_of(store, TaskFilter(created_before=T + 3_600_000))) == 20

    @pytest.mark.parametrize("step", [-7_200_000, -5_000, 5_000, 7_200_000])
    async def test_a_step_of_the_clock_hides_no_task_from_a_listing_by_time(self, store: Store, step: int) -> None:
        before, after = new_task(now=T), new_task(now=T + step)
        await store.enqueue([before])
        await store.enqueue([after])
        for border in (T - 1, T, T + 1, T + step - 1, T + step, T + step + 1, T + step // 2):
            later = {row.id for row in await all_of(store, TaskFilter(created_after=border))}
            assert later == {task.id for task in (before, after) if task.created_at > border}
            earlier = {row.id for row in await all_of(store, TaskFilter(created_before=border))}
            assert earlier == {task.id for task in (before, after) if task.created_at < border}

    async def test_the_feed_has_the_events_of_a_range_that_pass_its_filters_in_order(self, store: Store) -> None:
        assert (await store.last_event(), await store.feed(0, 9, 9)) == (0, [])
        await sample(store)
        last = await store.last_event()
        every = await store.feed(0, last, 1000)
        assert [one.seq for one in every] == list(range(1, last + 1))
        assert [one.event for one in every if one.event.task_id == every[-1].event.task_id] == await store.events(
            every[-1].event.task_id, 0, 9
        )
        assert await store.feed(3, 9, 4) == every[3:7]
        assert await store.feed(3, 5, 9) == every[3:5]
        assert await store.feed(0, last, 999, kind="mail") == [one for one in every if one.kind == "mail"]
        assert await store.feed(0, last, 999, owner="bob") == [one for one in every if one.owner == "bob"]
        ended = [one for one in every if one.event.status == "completed"]
        assert await store.feed(0, last, 999, status="completed") == ended != []

    async def test_counts_say_how_many_there_are_and_tell_due_from_delayed(self, store: Store) -> None:
        await pending(store)
        await pending(store)
        await pending(store, delay=5)
        await in_status(store, "failed", queue="q", kind="mail")
        found = {(count.queue, count.kind, count.status, count.ready): count.n for count in await store.counts()}
        assert found == {
            ("default", "thumbnail", "pending", 1): 2,
            ("default", "thumbnail", "pending", 0): 1,
            ("q", "mail", "failed", 0): 1,
        }

    async def test_a_healthy_store_takes_a_probe_and_says_so(self, store: Store) -> None:
        await store.probe()
        assert await store.health()
        assert store.version
