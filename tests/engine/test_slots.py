"""Who gets a slot: order by priority, shares of queues, and tasks whose kind is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quart_app import TaskContext, task
from quart_app.core.errors import StoreUnavailable
from quart_app.engine import dispatcher, kind_limits
from tests.engine import process_kinds
from tests.engine.conftest import Start
from tests.engine.engine import Gate, result, until

order: list[Any] = []
running: dict[str, int] = {}
most: dict[str, int] = {}
gate = Gate()


@pytest.fixture(autouse=True)
async def fresh_state(start: Start) -> AsyncIterator[None]:
    """Comes after `start`, so that its end lets every handler go before the engine closes."""
    order.clear()
    running.clear()
    most.clear()
    gate.close()
    yield
    gate.open()


@task("holds-a-slot", priority=100)
async def holds_a_slot() -> None:
    await gate.wait()


@task("notes", priority=5)
async def notes(what: Any) -> None:
    order.append(what)


@task("counted")
async def counted(ctx: TaskContext, queue: str) -> None:
    running[queue] = running.get(queue, 0) + 1
    most[queue] = max(most.get(queue, 0), running[queue])
    try:
        await gate.wait()
    finally:
        running[queue] -= 1


KINDS = [holds_a_slot, notes, counted]


async def test_higher_priority_first_then_the_older(start: Start) -> None:
    engine = await start(concurrency=1)
    await engine.status(await engine.enqueue("holds-a-slot"), "processing")
    asked: list[tuple[str, int | None]] = [
        ("first of 5", None), ("low", -100), ("zero", 0), ("high", 100), ("second of 5", 5), ("99", 99), ("-1", -1)
    ]  # fmt: skip
    handles = [await engine.enqueue("notes", {"what": what}, priority=priority) for what, priority in asked]
    gate.open()
    for handle in handles:
        await engine.end(handle)
    assert order == ["high", "99", "first of 5", "second of 5", "zero", "-1", "low"]


async def test_a_hundred_equal_tasks_run_in_the_order_of_their_making(start: Start) -> None:
    engine = await start(concurrency=1)
    await engine.status(await engine.enqueue("holds-a-slot"), "processing")
    handles = [await engine.enqueue("notes", {"what": number}) for number in range(100)]
    gate.open()
    for handle in handles:
        await engine.end(handle)
    assert order == list(range(100))


async def test_the_next_is_claimed_in_the_transaction_that_records_an_end(start: Start) -> None:
    engine = await start(concurrency=1)
    await engine.status(await engine.enqueue("holds-a-slot"), "processing")
    handles = [await engine.enqueue("notes", {"what": number}) for number in range(50)]
    before = engine.runtime._db.commits
    gate.open()
    for handle in handles:
        await engine.end(handle)
    assert engine.runtime._db.commits - before < 60
    assert order == list(range(50))


async def test_ends_that_cannot_be_recorded_hold_back_what_waits(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may be too full for ends and not for claims. One run for each slot may wait for the disk, no more."""
    engine = await start(concurrency=1)
    refused: list[str] = []
    complete = engine.runtime.store.complete

    async def refuse(key: str, *rest: Any) -> bool:
        if gate.is_open:
            return await complete(key, *rest)
        refused.append(key)
        raise StoreUnavailable("database or disk is full")

    monkeypatch.setattr(engine.runtime.store, "complete", refuse)
    handles = [await engine.enqueue("notes", {"what": number}) for number in range(5)]
    await until(lambda: len(set(refused)) == 2 and len(refused) >= 6, "ends that were tried again")
    assert order == [0, 1]
    assert engine.sql("SELECT count(*) FROM tasks WHERE status = 'pending'") == [(3,)]
    gate.open()
    for handle in handles:
        assert (await engine.end(handle)).status == "completed"
    assert order == list(range(5))


async def test_no_more_tasks_run_at_once_than_there_are_slots(start: Start) -> None:
    engine = await start(concurrency=3)
    handles = [await engine.enqueue("counted", {"queue": "default"}) for _ in range(10)]
    await until(lambda: running.get("default") == 3, "three runs")
    assert engine.sql("SELECT count(*) FROM tasks WHERE status = 'processing'") == [(3,)]
    gate.open()
    for handle in handles:
        assert (await engine.end(handle)).status == "completed"
    assert most == {"default": 3}


@pytest.mark.parametrize(("slots", "share"), [(8, 2), (64, 16), (4, 1), (2, 1)])
async def test_the_audit_queue_holds_at_most_a_quarter_of_the_slots(start: Start, slots: int, share: int) -> None:
    engine = await start(concurrency=slots)
    audits = [await engine.enqueue("counted", {"queue": "audit"}, queue="audit", priority=100) for _ in range(slots)]
    others = [await engine.enqueue("counted", {"queue": "default"}) for _ in range(slots)]
    await until(lambda: sum(running.values()) == slots, "a run in every slot")
    assert running == {"audit": share, "default": slots - share}
    gate.open()
    for handle in audits + others:
        assert (await engine.end(handle)).status == "completed"
    assert most["audit"] == share


async def test_a_full_queue_does_not_hold_up_another_one(start: Start) -> None:
    engine = await start(concurrency=4)
    audits = [await engine.enqueue("counted", {"queue": "audit"}, queue="audit") for _ in range(50)]
    await until(lambda: running.get("audit") == 1, "the one run of the audit queue")
    assert (await engine.run("notes", {"what": "passed"})).status == "completed"
    assert (await engine.run("notes", {"what": "me too"}, queue="of-my-own")).status == "completed"
    assert order == ["passed", "me too"]
    gate.open()
    for handle in audits:
        await engine.end(handle)


async def test_tasks_that_wait_for_a_child_process_leave_the_slots_to_others(start: Start, tmp_path: Path) -> None:
    """They would hold them all without doing anything."""
    flag = tmp_path / "flag"
    engine = await start(concurrency=16, cpu_slots=1, kinds=[*KINDS, process_kinds.holds])
    held = [await engine.enqueue("holds", {"flag": str(flag)}) for _ in range(30)]
    assert {task.queue for task in [await handle.get() for handle in held]} == {"cpu"}
    for _ in range(20):
        assert (await engine.run("notes", {"what": 1})).status == "completed"
    ((processing,),) = engine.sql("SELECT count(*) FROM tasks WHERE kind = 'holds' AND status = 'processing'")
    assert 1 <= processing <= 1 + kind_limits.WAITING_CHILDREN
    flag.touch()
    for handle in held:
        assert (await engine.end(handle)).status == "completed"


async def test_many_queues_are_claimed_from_in_few_transactions(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue a tenant is the usual way to be fair, and each transaction waits for the disk."""
    engine = await start(concurrency=1)
    await engine.status(await engine.enqueue("holds-a-slot"), "processing")
    handles = [await engine.enqueue("notes", {"what": n}, queue=f"tenant-{n}") for n in range(200)]
    await engine.close()
    engine = await start(concurrency=64)
    claims: list[int] = []
    claim = engine.runtime.store.claim

    async def counted_claim(room: Mapping[str, int], now: int, up: int) -> Any:
        claims.append(len(room))
        return await claim(room, now, up)

    monkeypatch.setattr(engine.runtime.store, "claim", counted_claim)
    gate.open()
    for handle in handles:
        assert (await engine.runtime.service.wait(handle.id, 20)).status == "completed"
    assert sorted(order) == list(range(200)), "each once"


@pytest.mark.parametrize(
    ("slots", "queues", "expected"),
    [(64, 1, {0: 64}), (64, 2, {0: 32, 1: 32}), (3, 5, {0: 1, 1: 1, 2: 1}), (5, 2, {0: 2, 1: 2})],
)
async def test_the_free_slots_are_shared_out_among_the_queues(
    start: Start, slots: int, queues: int, expected: dict[int, int]
) -> None:
    engine = await start(concurrency=slots)
    found = engine.runtime.dispatcher
    found._ready = {f"q{n}": False for n in range(queues)}
    assert found._rooms() == {f"q{n}": room for n, room in expected.items()}


async def test_a_task_of_a_kind_that_is_not_registered_waits_for_it_and_says_so(start: Start) -> None:
    first_life = await start()
    handle = await first_life.enqueue("notes", {"what": "kept"}, delay=3600)
    await first_life.close()
    first_life.sql("UPDATE tasks SET run_at = 0")

    second_life = await start(kinds=[])

    async def parked() -> bool:
        row = await second_life.runtime.service.get(handle.id)
        return row.waiting_for == "kind:notes"

    await until(parked, "the reason why it waits")
    row = await second_life.runtime.service.get(handle.id)
    assert (row.status, row.attempt, row.error_type) == ("pending", 0, None)
    await second_life.close()

    third_life = await start()
    done = await third_life.runtime.service.wait(handle.id, 20)
    assert (done.status, done.attempt, done.waiting_for) == ("completed", 1, None)
    assert result(done) is None
    assert order == ["kept"]


async def test_a_task_is_claimed_in_the_transaction_that_makes_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start()
    turns: list[set[str]] = []
    turn = engine.runtime._db._turn

    async def noted(writes: Any) -> None:
        turns.append({call.statement for write in writes for call in write.calls})
        await turn(writes)

    monkeypatch.setattr(engine.runtime._db, "_turn", noted)
    gate.open()
    await engine.run("holds-a-slot")
    (both,) = [statements for statements in turns if statements & {"enqueue", "claim"}]
    assert both >= {"enqueue", "claim"}


async def test_tasks_made_one_after_another_all_run(start: Start) -> None:
    engine = await start(concurrency=3)
    gate.open()

    async def make(name: int) -> None:
        for number in range(40):
            await engine.enqueue("notes", {"what": (name, number)})

    async with asyncio.TaskGroup() as group:
        for name in range(4):
            group.create_task(make(name))
    await until(lambda: len(order) == 160, "every task to run")


async def test_queues_that_come_and_go_leave_nothing_behind(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MAX_READY", 10)
    engine = await start(concurrency=1)
    found = engine.runtime.dispatcher
    found._many = dispatcher.MAX_READY
    await engine.status(await engine.enqueue("holds-a-slot", queue="held"), "processing")
    kept = await engine.enqueue("notes", {"what": "kept"}, queue="kept")
    for number in range(50):
        handle = await engine.enqueue("notes", {"what": number}, queue=f"q{number}")
        assert await engine.runtime.service.cancel(handle.id)
    await until(lambda: len(found._ready) <= 12, "an end of the names")
    assert found.running == 1
    gate.open()
    await engine.end(kept)
    assert order == ["kept"]
    await until(lambda: not found.running, "an end of what is held")
