"""The store of signals, verb by verb."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core import flow as words
from quart_app.core.flow import ForSignal, Record
from tests.store.flow_kit import LATER, Kit, opened, wait_record
from tests.store.kit import T, claimed
from tests.store.soundness import everything


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path / "tasks.db") as one:
        yield one


async def test_signals_are_kept_taken_in_order_and_once(kit: Kit) -> None:
    run = await claimed(kit.store)
    for data in ("1", "2"):
        assert await kit.flow.put_signal(run.id, "go", data, None, T) == "sent"
    assert await kit.flow.put_signal(run.id, "stop", "9", None, T) == "sent"
    for n, data in ((1, "1"), (2, "2")):
        taken = await kit.flow.take_signal(run.id, run.fence, wait_record(n), "go", T, False, False)
        assert taken is not None
        assert (taken.type, taken.output) == ("signal", data)
    assert not await kit.flow.has_signal(run.id, "go")
    assert await kit.flow.has_signal(run.id, "stop")


async def test_a_signal_wakes_the_task_that_waits_for_it_and_no_other(kit: Kit) -> None:
    run = await claimed(kit.store)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(), "go"), T)
    kit.bells.take()
    await kit.flow.put_signal(run.id, "stop", "1", None, T)
    assert kit.bells.take() == []
    assert [one.signal for one in await kit.flow.waiting(None, 0, 0, 9)] == ["go"]
    await kit.flow.put_signal(run.id, "go", '"now"', None, LATER)
    assert ("ready", "default", False) in kit.bells.take()
    assert await kit.flow.waiting(None, 0, 0, 9) == []
    assert kit.sql("SELECT type, output, size FROM steps") == [("signal", '"now"', 5)]


async def test_a_signal_that_comes_before_the_suspension_is_not_lost(kit: Kit) -> None:
    run = await claimed(kit.store)
    await kit.flow.put_signal(run.id, "go", "7", None, T)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(), "go"), T)
    assert [one.id for one in await kit.run("default")] == [run.id]
    assert kit.sql("SELECT type, output FROM steps") == [("signal", "7")]


async def test_a_wait_ends_at_its_time_and_a_late_signal_is_kept_for_the_next(kit: Kit) -> None:
    run = await claimed(kit.store)
    record = Record("signal:go-1", "wait", str(LATER), 1)
    kit.bells.take()
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(record, "go", LATER, LATER - T), T)
    assert ("due", LATER) in kit.bells.take()
    assert await kit.store.next_due() == LATER
    assert [one.timeout_at for one in await kit.flow.waiting(None, 0, 0, 9)] == [LATER]
    assert await kit.store.make_ready(LATER, 9) == 1
    (woken,) = await kit.run("default")
    taken = await kit.flow.take_signal(run.id, woken.fence, record, "go", LATER, True, False)
    assert taken is not None
    assert taken.type == "timeout"
    await kit.flow.put_signal(run.id, "go", "1", None, LATER)
    assert await kit.flow.has_signal(run.id, "go")


async def test_a_signal_that_comes_between_the_time_limit_and_the_run_is_taken(kit: Kit) -> None:
    run = await claimed(kit.store)
    record = Record("signal:go-1", "wait", str(LATER), 1)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(record, "go", LATER, LATER - T), T)
    await kit.store.make_ready(LATER, 9)
    await kit.flow.put_signal(run.id, "go", "1", None, LATER)
    (woken,) = await kit.run("default")
    taken = await kit.flow.take_signal(run.id, woken.fence, record, "go", LATER, True, False)
    assert taken is not None
    assert (taken.type, taken.output) == ("signal", "1")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a"), ("a-1", "a"), ("a", "a-1")])
@pytest.mark.parametrize("early", [False, True])
async def test_a_wait_for_another_signal_that_is_on_record_takes_nothing(
    kit: Kit, first: str, second: str, early: bool
) -> None:
    """As of a task that was cancelled while it waited, and whose code asks for another signal since."""
    run = await claimed(kit.store)
    await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(1, first), first), T)
    await kit.store.cancel(run.id, T)
    await kit.store.rerun(run.id, False, T)
    (run,) = await kit.run("default")
    if early:
        await kit.flow.put_signal(run.id, second, "7", None, T)
        taken = await kit.flow.take_signal(run.id, run.fence, wait_record(1, second), second, T, False, False)
        assert taken is not None
        assert (taken.type, taken.output) == ("signal", "7")
    else:
        await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(1, second), second), T)
        await kit.flow.put_signal(run.id, second, "7", None, T)
        assert [one.id for one in await kit.run("default")] == [run.id]
    recorded = {(f"signal:{first}-1", "wait", "null"), (f"signal:{second}-1", "signal", "7")}
    assert set(kit.sql("SELECT name, type, output FROM steps")) == recorded


async def test_the_answers_to_a_signal(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await claimed(kit.store)
    put = kit.flow.put_signal
    assert await put("nobody", "go", "1", None, T) == "unknown"
    assert await put(run.id, "go", "1", "key", T) == "sent"
    assert await put(run.id, "go", "1", "key", T) == "replayed"
    assert await put(run.id, "go", "2", "key", T) == "conflict"
    assert await put(run.id, "stop", "1", "key", T) == "conflict"
    await kit.flow.take_signal(run.id, run.fence, wait_record(), "go", T, False, False)
    assert await put(run.id, "go", "1", "key", T) == "replayed", "also when it is taken"
    monkeypatch.setattr("quart_app.store.flow.MAX_SIGNALS", 2)
    assert [await put(run.id, "go", "1", None, T) for _ in range(3)] == ["sent", "sent", "full"]
    await kit.store.complete(run.id, run.fence, "1", T)
    before = everything(kit.sql)
    assert await put(run.id, "go", "1", None, T) == "ended"
    assert await put(run.id, "go", "1", "key", T) == "replayed"
    assert everything(kit.sql) == before
    assert words.MAX_SIGNALS == 1000


async def test_tasks_that_wait_come_oldest_first_in_pages_and_of_their_owner(kit: Kit) -> None:
    for n, owner in enumerate(["ada", "bob", "ada", "ada"]):
        run = await claimed(kit.store, owner=owner)
        await kit.flow.wait_for_signal(run.id, run.fence, ForSignal(wait_record(1, f"go{n}"), f"go{n}"), T + n)
    first = await kit.flow.waiting("ada", 0, 0, 2)
    rest = await kit.flow.waiting("ada", first[-1].since, first[-1].seq, 2)
    assert [one.signal for one in [*first, *rest]] == ["go0", "go2", "go3"]
    assert len(await kit.flow.waiting(None, 0, 0, 9)) == 4
