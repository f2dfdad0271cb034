"""The scheduler on a real store and a clock that the test moves: restarts, steps of the clock, floods, overlap."""

from __future__ import annotations

import asyncio
import logging

import pytest

from quart_app.core.schedule import MAX_FIRES, Schedule
from quart_app.engine.upkeep import scheduler as module
from quart_app.engine.upkeep.scheduler import Scheduler
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import START, VirtualClock
from tests.store.kit import Sql
from tests.upkeep.plant import HOUR, MINUTE, Plant, fires


async def test_a_schedule_fires_when_its_time_comes_and_not_before(plant: Plant, clock: VirtualClock, sql: Sql) -> None:
    assert await plant.settle() is None, "an idle system costs nothing"
    await plant.add(every_ms=5000)
    assert await plant.settle() == 1.0, "the wall clock may step, so never longer than a second"
    clock.advance(4.5)
    assert await plant.settle() == 0.5
    assert await plant.tasks() == 0
    clock.advance(0.5)
    await plant.settle()
    assert fires(sql) == [5]
    (made,) = sql("SELECT kind, owner, tags, status FROM tasks")
    assert made == ("tick", "", '["schedule:s"]', "pending")


async def test_after_26_hours_down_a_minutely_schedule_catches_up_once_and_the_log_says_how_many_were_missed(
    plant: Plant, clock: VirtualClock, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await plant.add(cron="* * * * *")
    await plant.settle()
    clock.advance(26 * HOUR)
    plant.restart()
    await plant.settle()
    assert await plant.tasks() == 1
    assert "fires due: 1560, made: 1" in caplog.text
    after = await plant.schedules.get_schedule("s")
    assert after is not None
    assert after.next_at is not None
    assert clock.now() < after.next_at <= clock.now() + 60_000


async def test_a_clock_that_steps_two_hours_back_and_on_again_fires_nothing_twice(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    await plant.add(every_ms=60_000, overlap="queue")
    for _ in range(10):
        clock.advance(MINUTE)
        await plant.settle()
    assert fires(sql) == [MINUTE * n for n in range(1, 11)]
    clock.step(-2 * HOUR)
    for restart in (False, True):
        if restart:
            plant.restart()
        for _ in range(30):
            clock.advance(MINUTE)
            await plant.settle()
    assert await plant.tasks() == 10
    clock.step(2 * HOUR)
    await plant.settle()
    assert await plant.tasks() == 11, "one stands for those that were missed"
    assert len(set(fires(sql))) == 11


@pytest.mark.parametrize(("catch_up", "made"), [("skip", 0), ("one", 1), ("all", 120)])
async def test_a_clock_that_steps_two_hours_forward_is_caught_up_with_by_the_rule(
    plant: Plant, clock: VirtualClock, sql: Sql, catch_up: str, made: int
) -> None:
    await plant.add(every_ms=60_000, overlap="queue", catch_up=catch_up)
    await plant.settle()
    clock.step(2 * HOUR + 30)
    await plant.settle()
    assert len(fires(sql)) == await plant.tasks() == made


async def test_planned_anew_after_the_clock_stepped_back_it_goes_on_behind_what_was_fired(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    await plant.add(cron="* * * * *", overlap="queue", catch_up="all")
    await plant.settle()
    clock.advance(10 * MINUTE)
    await plant.settle()
    known = fires(sql)
    clock.step(-5 * MINUTE)
    for paused in (True, False):
        await plant.door.change("s", None, {"paused": paused})
    plant.restart()
    clock.advance(7 * MINUTE)
    await plant.settle()
    assert fires(sql) == [*known, known[-1] + MINUTE, known[-1] + 2 * MINUTE]
    assert await plant.tasks() == len(fires(sql))


async def test_all_that_was_missed_is_made_in_bites(plant: Plant, clock: VirtualClock, sql: Sql) -> None:
    await plant.add(every_ms=1000, overlap="queue", catch_up="all")
    clock.advance(3 * MAX_FIRES + 5)
    await plant.scheduler.run_once(clock.now())
    assert await plant.scheduler.run_once(clock.now()) == 0.0
    assert 0 < await plant.tasks() <= 2 * MAX_FIRES
    await plant.settle()
    assert fires(sql) == list(range(1, 3 * MAX_FIRES + 6))


# --- overlap


async def test_while_the_last_task_runs_a_fire_is_skipped_and_then_made_again(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    await plant.add(every_ms=1000)
    for _ in range(4):
        clock.advance(1)
        await plant.settle()
    assert fires(sql) == [1]
    await plant.finish()
    clock.advance(1)
    await plant.settle()
    assert fires(sql) == [1, 5]


async def test_cancel_ends_the_last_task_first(plant: Plant, clock: VirtualClock, sql: Sql) -> None:
    await plant.add(every_ms=1000, overlap="cancel")
    for _ in range(3):
        clock.advance(1)
        await plant.settle()
    assert fires(sql) == [1, 2, 3]
    assert sql("SELECT status FROM tasks ORDER BY seq") == [("cancelled",), ("cancelled",), ("pending",)]


async def test_a_running_task_is_asked_to_end_and_the_next_one_is_made_when_it_has(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    asked: set[str] = set()
    plant.service.cancel_run = asked.add
    await plant.add(every_ms=1000, overlap="cancel")
    clock.advance(1)
    await plant.settle()
    (running,) = await plant.store.claim({"default": 1}, clock.now())
    for _ in range(3):
        clock.advance(1)
        assert await plant.settle() == module.END_PAUSE / 1000
    assert (asked, fires(sql)) == ({running.id}, [1])
    await plant.store.end_cancelled(running.id, running.fence, clock.now())
    clock.advance(0.1)
    await plant.settle()
    assert fires(sql) == [1, 4], "one stands for all that were due meanwhile"


async def test_those_who_wait_for_an_end_keep_no_others_from_their_fires(
    plant: Plant, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    for number in range(4):
        await plant.add(f"s{number}", every_ms=1000, overlap="cancel")
    clock.advance(1)
    await plant.settle()
    running = await plant.store.claim({"default": 10}, clock.now())
    for number in range(4, 9):
        await plant.add(f"s{number}", every_ms=1500)
    clock.advance(1.5)
    await plant.settle()
    assert sql("SELECT count(*) FROM fires WHERE fire_at > ?", START + 1000) == [(5,)]
    for one in running:
        await plant.store.end_cancelled(one.id, one.fence, clock.now())
    clock.advance(0.1)
    await plant.settle()
    assert sql("SELECT count(*) FROM fires WHERE fire_at > ?", START + 1000) == [(9,)]


# --- what may be in the way


async def test_a_full_queue_makes_fires_wait_and_refuses_none(
    store: Store, database: Database, clock: VirtualClock, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(store, database, clock, queue_limit=3)
    await plant.add(every_ms=1000, overlap="queue", catch_up="all")
    for _ in range(3):
        clock.advance(1)
        await plant.settle()
    clock.advance(2)
    assert await plant.settle() == 1.0
    assert fires(sql) == [1, 2, 3]
    assert "schedules wait" in caplog.text
    await plant.finish()
    clock.advance(1)
    await plant.settle()
    assert fires(sql) == [1, 2, 3, 4, 5, 6]


async def test_a_kind_that_is_gone_loses_the_fire_and_the_schedule_says_why(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    await plant.add(every_ms=1000)
    sql("UPDATE schedules SET kind = 'gone'")
    clock.advance(1)
    await plant.settle()
    after = await plant.schedules.get_schedule("s")
    assert after is not None
    assert "gone" in (after.last_error or "")
    assert after.next_at == START + 2000
    sql("UPDATE schedules SET kind = 'tick'")
    clock.advance(1)
    await plant.settle()
    after = await plant.schedules.get_schedule("s")
    assert after is not None
    assert (after.last_error, await plant.tasks()) == (None, 1)


async def test_a_time_zone_that_is_gone_stops_its_schedule_and_no_other(
    plant: Plant, clock: VirtualClock, sql: Sql
) -> None:
    await plant.add("broken", cron="* * * * *")
    await plant.add("whole", cron="* * * * *")
    sql("UPDATE schedules SET timezone = 'Mars/Olympus' WHERE name = 'broken'")
    clock.advance(2 * MINUTE)
    await plant.settle()
    assert sql("SELECT schedule FROM fires") == [("whole",)]
    broken = await plant.schedules.get_schedule("broken")
    assert broken is not None
    assert broken.next_at is None
    assert "Mars/Olympus" in (broken.last_error or "")


async def test_a_server_that_stops_fires_nothing(plant: Plant, clock: VirtualClock) -> None:
    await plant.add(every_ms=1000)
    plant.service.stop_accepting()
    clock.advance(5)
    await plant.settle()
    assert await plant.tasks() == 0


async def test_two_schedulers_at_once_make_one_task_a_fire(plant: Plant, clock: VirtualClock, sql: Sql) -> None:
    for number in range(20):
        await plant.add(f"s{number}", every_ms=1000, overlap="queue")
    rivals = [Scheduler(plant.schedules, plant.service) for _ in range(3)]
    for _ in range(5):
        clock.advance(1)
        await asyncio.gather(*(rival.run_once(clock.now()) for rival in rivals))
        await plant.settle()
    assert sql("SELECT count(*) FROM fires") == [(100,)]
    assert await plant.tasks() == 100


async def test_a_flood_that_is_due_in_one_second_is_made_in_chunks(
    plant: Plant, clock: VirtualClock, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    for number in range(95):
        await plant.schedules.add_schedule(Schedule(name=f"s{number}", kind="tick", every_ms=HOUR, next_at=START), 1000)
    turns = 0
    while await plant.scheduler.run_once(clock.now()) == 0.0:
        turns += 1
        assert await plant.tasks() <= 10 * turns
    assert await plant.tasks() == 95
    assert sql("SELECT count(*) FROM schedules WHERE next_at <= ?", clock.now()) == [(0,)]


async def test_counting_what_was_missed_lets_others_run(plant: Plant, clock: VirtualClock) -> None:
    """Two thousand fires in a time zone take a while: between two schedules the loop turns."""
    for number in range(10):
        await plant.add(f"s{number}", cron="* * * * *", timezone="America/New_York")
    clock.advance(26 * HOUR)
    turns, stop = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    await plant.settle()
    stop.set()
    await running
    assert turns > 10
