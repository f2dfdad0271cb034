"""drain: what is due runs, and what that makes due; with `scheduled` what waits for time alone."""

from __future__ import annotations

import asyncio
import datetime
import os

import pytest

from quart_app.testing import TaskKit
from tests.testing import shop


async def test_what_is_due_runs_in_its_order_and_what_is_delayed_does_not(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("welcome", {"name": "later"}, delay=1)
    for name in "abc":
        await kit.enqueue("welcome", {"name": name})
    await kit.enqueue("welcome", {"name": "first"}, priority=9)
    assert await kit.drain() == 4
    assert done == ["welcome first", "welcome a", "welcome b", "welcome c"]
    kit.assert_enqueued("welcome", args={"name": "later"}, count=1)
    assert await kit.drain() == 0


async def test_children_and_their_parent_run_in_one_drain(kit: TaskKit, done: list[str]) -> None:
    album = await kit.enqueue("album", {"names": ["a", "b"]})
    await kit.drain()
    assert (await kit.get(album)).result == ["a fetched", "b fetched"]
    assert kit.all_enqueued() == []
    assert [child.parent_id for child in kit.tasks("resize")] == [album.id, album.id]


async def test_a_signal_wakes_its_task_at_the_next_drain(kit: TaskKit, done: list[str]) -> None:
    waiting = await kit.enqueue("two-signals")
    await kit.drain()
    assert (await kit.get(waiting)).waiting_for == "signal:first"
    await kit.signal(waiting, "first", {"n": 1})
    assert (await kit.get(waiting)).status == "pending"
    await kit.drain()
    await kit.signal(waiting.id, "second")
    await kit.drain()
    assert (await kit.get(waiting)).result == [{"n": 1}, None]


async def test_errors_stay_in_the_tasks(kit: TaskKit) -> None:
    with shop.failing("welcome", 1):
        failed = await kit.enqueue("welcome", {"name": "ada"}, max_attempts=1)
        await kit.drain()
    task = await kit.get(failed)
    assert task.status == "failed"
    assert task.error is not None
    assert (task.error.type, task.error.attempt, task.error.retryable) == ("ConnectionError", 1, True)
    assert str(task.error) == "ConnectionError: welcome is down"
    with pytest.raises(Exception, match="welcome is down"):
        await failed.result()


async def test_a_retry_waits_for_its_time_and_scheduled_goes_there(kit: TaskKit, done: list[str]) -> None:
    began = kit.now()
    with shop.failing("welcome", 2):
        again = await kit.enqueue("welcome", {"name": "ada"})
        assert await kit.drain() == 1
        assert (await kit.get(again)).attempt == 1
        assert await kit.drain(scheduled=True) == 2
    assert (await kit.get(again)).result == "sent to ada"
    assert (await kit.get(again)).attempt == 3
    assert datetime.timedelta(0) <= kit.now() - began <= datetime.timedelta(seconds=10 + 20)


async def test_scheduled_runs_delays_and_sleeps_each_at_its_time(kit: TaskKit, done: list[str]) -> None:
    began = kit.now()
    await kit.enqueue("sleepy", {"seconds": 100})
    await kit.enqueue("welcome", {"name": "b"}, delay=50)
    await kit.enqueue("welcome", {"name": "c"}, delay=150)
    await kit.drain(scheduled=True)
    assert done == ["welcome b", "slept 100", "welcome c"]
    assert kit.now() - began == datetime.timedelta(seconds=150)


async def test_scheduled_fires_no_schedule_and_ends_no_wait_for_a_signal(kit: TaskKit, done: list[str]) -> None:
    order = await kit.enqueue("order", {"thing": "sofa", "price": 500})
    await kit.enqueue("welcome", {"name": "a"}, delay=86_400)
    await kit.drain(scheduled=True)
    assert done == ["welcome a"]
    assert (await kit.get(order)).waiting_for == "signal:approve"
    # But time passes for all: what becomes due on the way to a delay does so.
    await kit.enqueue("welcome", {"name": "b"}, delay=86_400 + 1)
    await kit.drain(scheduled=True)
    assert done == ["welcome a", "welcome b"]
    assert (await kit.get(order)).status == "failed"
    assert "SignalTimeout" in str((await kit.get(order)).error)


async def test_one_queue_alone(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("welcome", {"name": "a"})
    await kit.enqueue("resize", {"name": "a"})
    await kit.enqueue("welcome", {"name": "b"}, delay=60)
    await kit.enqueue("sleepy", {"seconds": 30})
    assert await kit.drain(queue="mail") == 1
    assert done == ["welcome a"]
    assert await kit.drain(scheduled=True, queue="mail") == 1
    assert done == ["welcome a", "welcome b"]
    assert [task.kind for task in kit.all_enqueued()] == ["resize", "sleepy"]


async def test_a_run_that_waits_for_another_task_in_its_slot_gets_it(kit: TaskKit) -> None:
    asks = await kit.enqueue("asks-another")
    await kit.drain()
    assert (await kit.get(asks)).result == "sent to bob, it says"


async def test_one_runs_after_the_other(kit: TaskKit, done: list[str]) -> None:
    for _ in range(3):
        await kit.enqueue("slow", {"seconds": 0.01})
    await kit.drain()
    assert done == ["begins", "ends"] * 3


async def test_a_wait_for_room_in_a_slot_passes_at_once(kit: TaskKit, done: list[str]) -> None:
    began = kit.now()
    out = await kit.enqueue("calls-out")
    await kit.drain()
    assert (await kit.get(out)).result == 3
    assert datetime.timedelta(seconds=60) <= kit.now() - began <= datetime.timedelta(seconds=61)


async def test_a_sleep_below_a_second_passes_at_once(kit: TaskKit, done: list[str]) -> None:
    began = kit.now()
    await kit.enqueue("sleepy", {"seconds": 0.5})
    await kit.drain()
    assert done == ["slept 0.5"]
    assert kit.now() - began == datetime.timedelta(seconds=0.5)


async def test_what_a_limit_holds_back_is_left_until_its_time(kit: TaskKit, done: list[str]) -> None:
    for number in range(5):
        await kit.enqueue("calls", {"number": number})
    assert await kit.drain() == 2
    assert kit.all_enqueued("calls")[0].waiting_for == "limit:gateway"
    assert await kit.drain(scheduled=True) == 3
    assert done == [f"call {number}" for number in range(5)]


async def test_a_paused_queue_starts_nothing(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("welcome", {"name": "a"})
    assert (await kit.client.post("/queues/mail/pause")).status_code == 200
    assert await kit.drain() == 0
    assert kit.all_enqueued("welcome")[0].waiting_for == "paused"
    await kit.client.post("/queues/mail/resume")
    assert await kit.drain() == 1


async def test_a_handler_in_a_thread_and_one_in_a_child_process(kit: TaskKit, done: list[str]) -> None:
    threaded = await kit.enqueue("resize-in-a-thread", {"name": "a"})
    square = await kit.enqueue("square", {"number": 7})
    await kit.drain()
    assert (await kit.get(threaded)).result == {"name": "a fetched", "width": 100}
    result, pid = (await kit.get(square)).result
    assert result == 49
    assert pid != os.getpid()


async def test_progress_moves_no_clock(kit: TaskKit) -> None:
    began = kit.now()
    await kit.enqueue("resize-in-a-thread", {"name": "a"})
    await kit.drain()
    assert kit.now() == began


async def test_a_task_that_makes_itself_without_end_is_told(kit: TaskKit) -> None:
    await kit.enqueue("makes-itself")
    with pytest.raises(AssertionError) as caught:
        await kit.drain(most=20)
    assert str(caught.value) == (
        "20 runs, and no end: does a task make the next one, or itself again? makes-itself is next"
    )
    assert len(kit.tasks()) == 21


async def test_a_second_drain_beside_the_first_is_refused(kit: TaskKit) -> None:
    await kit.enqueue("slow", {"seconds": 0.01})
    first, second = await asyncio.gather(kit.drain(), kit.drain(), return_exceptions=True)
    assert first == 1
    assert isinstance(second, RuntimeError)
    assert "await one call before the next" in str(second)


async def test_a_result_is_waited_for_beside_a_drain(kit: TaskKit) -> None:
    handle = await kit.enqueue("slow", {"seconds": 0.01})
    await asyncio.gather(handle.result(), handle.result(timeout=20), kit.drain())


async def test_a_result_that_nobody_makes_is_told(kit: TaskKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quart_app.testing.lives.PATIENCE", 0.01)
    handle = await kit.enqueue("welcome", {"name": "ada"})
    with pytest.raises(TimeoutError, match=r"in the kit nothing runs until drain\(\), advance\(\) or run_task\(\)"):
        await handle.result()
    with pytest.raises(TimeoutError):
        await handle.result(timeout=0.01)


async def test_a_drain_that_is_given_up_can_be_taken_up_again(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("slow", {"seconds": 0.2})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await kit.drain()
    assert done == ["begins"]
    await kit.drain()
    assert done == ["begins", "ends"]
