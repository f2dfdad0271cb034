"""Steps, progress and log lines: what a run leaves behind while it runs."""

from __future__ import annotations

import asyncio

import msgspec

from quart_app.store.protocols.tasks import Store
from tests.store.kit import ERROR, Sql, T, claimed, crashed
from tests.store.soundness import everything


class Recording:
    async def test_recorded_steps_come_back_in_the_order_they_were_made(self, store: Store) -> None:
        task = await claimed(store)
        for ordinal, (name, output) in enumerate([("z", "1"), ("a", '{"b":[2]}'), ("é \"'", '"' + "x" * 5000 + '"')]):
            assert await store.record_step(task.id, task.fence, name, output, ordinal, T + ordinal, False)
        steps = await store.steps(task.id)
        assert [(step.name, step.attempt, step.at) for step in steps] == [
            ("z", 1, T),
            ("a", 1, T + 1),
            ("é \"'", 1, T + 2),
        ]
        assert [step.output for step in steps] == ["1", '{"b":[2]}', '"' + "x" * 5000 + '"']

    async def test_names_of_steps_come_in_pages_and_small_outputs_with_them(self, store: Store) -> None:
        task = await claimed(store)
        outputs = {"a": "1", "b": '"' + "é" * 20 + '"', "c": "3", "d": '"' + "x" * 50 + '"', "e": "5"}
        for ordinal, (name, output) in enumerate(outputs.items()):
            await store.record_step(task.id, task.fence, name, output, ordinal, T, False)
        found = []
        while page := await store.step_names(task.id, found[-1].name if found else "", 2, 41):
            assert len(page) <= 2
            found += page
        assert [(step.name, step.size, step.output) for step in found] == [
            ("a", 1, "1"),
            ("b", 42, None),
            ("c", 1, "3"),
            ("d", 52, None),
            ("e", 1, "5"),
        ]
        assert {name: await store.step_output(task.id, name) for name in outputs} == outputs
        assert await store.step_output(task.id, "z") is None
        assert await store.step_names("no-such-id", "", 2, 41) == []

    async def test_recorded_steps_survive_a_retry_a_release_a_crash_and_the_end(self, store: Store) -> None:
        task = await claimed(store)
        await store.record_step(task.id, task.fence, "one", "1", 1, T, False)
        await store.retry(task.id, task.fence, ERROR, T, T)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        await store.record_step(task.id, task.fence, "two", "2", 2, T, False)
        await store.release(task.id, task.fence, task.queue, T)
        (task,) = await store.claim({"default": 9}, T)
        await crashed(store, task, 1)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        assert [step.name for step in await store.steps(task.id)] == ["one", "two"]
        await store.complete(task.id, task.fence, "1", T)
        assert [step.output for step in await store.steps(task.id)] == ["1", "2"]

    async def test_a_step_is_recorded_once_and_a_second_record_changes_nothing(self, store: Store, sql: Sql) -> None:
        task = await claimed(store)
        assert await store.record_step(task.id, task.fence, "s", "1", 1, T, False)
        before = everything(sql)
        assert await store.record_step(task.id, task.fence, "s", "2", 2, T + 1, False) is False
        assert everything(sql) == before

    async def test_two_tasks_may_have_steps_of_one_name(self, store: Store) -> None:
        first, second = await claimed(store), await claimed(store)
        landed = await asyncio.gather(
            store.record_step(first.id, first.fence, "s", "1", 1, T, False),
            store.record_step(second.id, second.fence, "s", "2", 1, T, False),
        )
        assert list(landed) == [True, True]
        assert [step.output for step in await store.steps(first.id)] == ["1"]
        assert [step.output for step in await store.steps(second.id)] == ["2"]

    async def test_a_step_clears_the_crash_count_only_when_asked(self, store: Store) -> None:
        await crashed(store, await claimed(store), 1)
        await store.make_ready(T, 9)
        (task,) = await store.claim({"default": 9}, T)
        await store.record_step(task.id, task.fence, "a", "1", 1, T, False)
        assert (await store.get(task.id)).crashes == 1  # type: ignore[union-attr]
        await store.record_step(task.id, task.fence, "b", "1", 2, T, True)
        assert (await store.get(task.id)).crashes == 0  # type: ignore[union-attr]

    async def test_progress_shows_the_last_word_and_makes_a_new_version(self, store: Store) -> None:
        task = await claimed(store)
        versions = [(await store.get(task.id)).version]  # type: ignore[union-attr]
        for done, total, message in ((1, 4, "fetched"), (2.5, None, None), (None, None, "x" * 1000)):
            assert await store.progress(task.id, task.fence, done, total, message, T)
            row = await store.get(task.id)
            assert row is not None
            assert (row.done, row.total, row.message) == (done, total, message)
            versions.append(row.version)
        assert versions == sorted(set(versions)), "each change must be seen as one"

    async def test_progress_stays_after_the_end_and_the_version_never_falls(self, store: Store) -> None:
        task = await claimed(store)
        await store.progress(task.id, task.fence, 3, 4, None, T)
        before = (await store.get(task.id)).version  # type: ignore[union-attr]
        await store.fail(task.id, task.fence, ERROR, T)
        row = await store.get(task.id)
        assert row is not None
        assert (row.done, row.total) == (3, 4)
        assert row.version > before

    async def test_each_write_of_a_run_leaves_its_event(self, store: Store) -> None:
        task = await claimed(store)
        await store.record_step(task.id, task.fence, "s", "1", 1, T + 1, False)
        await store.progress(task.id, task.fence, 1, 2, "m", T + 2)
        await store.log(task.id, task.fence, '{"message":"hello"}', T + 3)
        await store.complete(task.id, task.fence, "1", T + 4)
        events = await store.events(task.id, 0, 99)
        assert [(event.name, event.cause, event.at, event.attempt) for event in events] == [
            ("status", "enqueue", T, 0),
            ("status", "claim", T, 1),
            ("step", "claim", T + 1, 1),
            ("progress", "claim", T + 2, 1),
            ("log", "claim", T + 3, 1),
            ("status", "complete", T + 4, 1),
        ]
        assert [msgspec.json.decode(event.data) for event in events if event.data] == [
            {"name": "s"},
            {"done": 1, "total": 2, "message": "m"},
            {"message": "hello"},
        ]

    async def test_events_are_read_in_pages_after_the_last_one_seen(self, store: Store) -> None:
        task = await claimed(store)
        for number in range(10):
            await store.log(task.id, task.fence, str(number), T)
        seen: list[str] = []
        after = 0
        while page := await store.events(task.id, after, 3):
            seen += [event.data for event in page if event.data is not None]
            assert [event.seq for event in page] == sorted({event.seq for event in page})
            assert page[0].seq > after
            after = page[-1].seq
        assert seen == [str(number) for number in range(10)]
        assert await store.events("no-such-id", 0, 9) == []

    async def test_progress_that_is_no_event_is_shown_all_the_same(self, store: Store) -> None:
        task = await claimed(store)
        assert await store.count_events(task.id) == 2
        assert await store.progress(task.id, task.fence, 1, 2, "kept", T)
        assert await store.progress(task.id, task.fence, 2, 2, "shown", T, event=False)
        assert (await store.get(task.id)).message == "shown"  # type: ignore[union-attr]
        assert await store.count_events(task.id) == 3
        assert not await store.progress(task.id, task.fence + 1, 3, 3, "late", T, event=False)
