"""advance: what becomes due on the way runs, in order."""

from __future__ import annotations

import datetime
from datetime import UTC, timedelta

import pytest

from quart_app import InvalidArgs
from quart_app.testing import TaskKit
from quart_app.testing.durations import milliseconds
from tests.testing import shop

MONDAY = datetime.datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def kit_now() -> datetime.datetime:
    return MONDAY


async def test_time_stands_still_until_it_is_moved(kit: TaskKit) -> None:
    assert kit.now() == MONDAY
    await kit.enqueue("welcome", {"name": "a"}, delay=60)
    await kit.drain()
    assert kit.now() == MONDAY
    await kit.advance(1.5)
    assert kit.now() == MONDAY + timedelta(seconds=1.5)


async def test_a_delay_runs_at_its_time_and_not_before(kit: TaskKit, done: list[str]) -> None:
    delayed = await kit.enqueue("welcome", {"name": "a"}, delay=60)
    assert await kit.advance("59 seconds") == 0
    assert await kit.advance(timedelta(seconds=1)) == 1
    assert done == ["welcome a"]
    assert (await kit.get(delayed)).run_at == MONDAY + timedelta(minutes=1)


async def test_what_is_due_before_runs_first_and_all_in_the_order_of_its_time(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("sleepy", {"seconds": 7000})
    await kit.enqueue("welcome", {"name": "at 2 h"}, delay=7200)
    await kit.enqueue("welcome", {"name": "at 30 min"}, delay=1800)
    await kit.enqueue("welcome", {"name": "now"})
    await kit.advance("1 day")
    assert done == ["welcome now", "welcome at 30 min", "digest", "slept 7000", "welcome at 2 h"]


async def test_a_schedule_fires_each_time_it_is_due(kit: TaskKit, done: list[str]) -> None:
    assert await kit.advance("59 minutes") == 0
    await kit.advance("1 minute")
    assert done == ["digest"]
    await kit.advance("2 weeks")
    assert done == ["digest"] * 15
    assert {task.created_at.hour for task in kit.tasks("digest")} == {9}
    assert kit.now() == MONDAY + timedelta(days=14, hours=1)


async def test_the_fires_that_a_drain_has_passed_are_caught_up_as_after_a_stop(kit: TaskKit, done: list[str]) -> None:
    await kit.enqueue("welcome", {"name": "a"}, delay=3 * 86_400)
    await kit.drain(scheduled=True)
    assert done == ["welcome a"]
    await kit.advance(0)
    assert done == ["welcome a", "digest"]  # `catch_up` is one
    await kit.advance("1 hour")
    assert done == ["welcome a", "digest", "digest"]


async def test_a_retry_comes_at_its_time(kit: TaskKit, done: list[str]) -> None:
    with shop.failing("welcome", 1):
        await kit.enqueue("welcome", {"name": "a"})
        await kit.drain()
        assert done == []
        await kit.advance("10 seconds")
    assert done == ["welcome a"]


async def test_a_wait_for_a_signal_times_out(kit: TaskKit) -> None:
    order = await kit.enqueue("order", {"thing": "sofa", "price": 500})
    await kit.advance("47 hours")
    assert (await kit.get(order)).waiting_for == "signal:approve"
    await kit.advance("1 hour")
    task = await kit.get(order)
    assert (task.status, task.error and task.error.type) == ("pending", "SignalTimeout")
    await kit.advance("3 days")
    assert (await kit.get(order)).status == "failed"


async def test_an_order_is_approved_sleeps_and_ships(kit: TaskKit, done: list[str]) -> None:
    order = await kit.enqueue("order", {"thing": "sofa", "price": 500})
    await kit.advance("1 day")
    await kit.signal(order, "approve", {"choice": "approve"})
    await kit.drain()
    assert done == ["digest", "charge 500 for sofa"]
    assert (await kit.get(order)).waiting_for == "time"
    await kit.advance("1 day")
    assert done == ["digest", "charge 500 for sofa", "digest", "ship sofa"]
    assert (await kit.get(order)).result == {"receipt": "r-500"}


async def test_a_task_that_has_not_started_in_its_time_expires(kit: TaskKit, done: list[str]) -> None:
    short = await kit.enqueue("short-lived", delay=60.5)
    await kit.advance("2 minutes")
    task = await kit.get(short)
    assert (task.status, task.error and task.error.type, done) == ("failed", "expired", [])


async def test_a_limit_gives_way_by_time(kit: TaskKit, done: list[str]) -> None:
    for number in range(5):
        await kit.enqueue("calls", {"number": number})
    for seconds, calls in ((0, 2), (59, 2), (2, 4), (60, 5)):
        await kit.advance(seconds)
        assert len(done) == calls, seconds


async def test_nothing_is_pruned(kit: TaskKit) -> None:
    old = await kit.enqueue("welcome", {"name": "a"})
    await kit.drain()
    await kit.advance("2 weeks")
    assert (await kit.get(old)).status == "completed"


async def test_the_schedules_of_the_service_itself_make_no_tasks(kit: TaskKit) -> None:
    await kit.advance("1 day")
    assert {task.kind for task in kit.tasks()} == {"digest"}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2 days", 172_800_000),
        ("1 hour 30 minutes", 5_400_000),
        ("1 hour, 30 minutes and 10s", 5_410_000),
        ("1.5h", 5_400_000),
        ("1w", 604_800_000),
        (" 3 Min ", 180_000),
        (0, 0),
        (0.0015, 2),
        (timedelta(milliseconds=7), 7),
    ],
)
def test_times_as_people_write_them(text: str | float | timedelta, ms: int) -> None:
    assert milliseconds(text) == ms


@pytest.mark.parametrize("wrong", ["", "2", "days", "2 fortnights", "two days", "-1 day", -1, float("inf"), None, True])
async def test_what_is_no_time_is_one_line(kit: TaskKit, wrong: object) -> None:
    with pytest.raises(ValueError, match=r"a time is seconds, a timedelta, or a text|time goes forward only") as caught:
        await kit.advance(wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert kit.now() == MONDAY


async def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="now is an aware datetime"):
        TaskKit(now=datetime.datetime(2026, 1, 1))


class TestWithoutSchedules:
    @pytest.fixture
    def kit_settings(self) -> dict[str, object]:
        return {"schedules": False, "QUART_APP_MAX_ARGS": 100}

    async def test_settings_count(self, kit: TaskKit) -> None:
        assert await kit.advance("3 days") == 0
        with pytest.raises(InvalidArgs, match="limited to 100 bytes"):
            await kit.enqueue("welcome", {"name": 100 * "x"})
