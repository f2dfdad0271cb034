"""What is to start at a planned time, over steps of the wall clock: never later than was asked for, counted from the
step, and never because of a time that lasted for seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from quart_app.core import trusted_time
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from tests.clock import START, VirtualClock
from tests.store.kit import Sql, claimed
from tests.upkeep.life import DAY, ERROR, HOUR, STEPS, Life, Step
from tests.upkeep.plant import MINUTE, fires

LOOK = 2  # seconds: everybody looks once in one
DOUBT = trusted_time.TO_RUN // 1000 + LOOK
EVERY_STEP = pytest.mark.parametrize("step", STEPS, ids=str)
WHEN = pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])


@pytest.fixture
async def life(store: Store, database: Database, clock: VirtualClock, tmp_path: Path) -> Life:
    """`store` looks at the tables when the test is over."""
    life = Life(database, clock, tmp_path)
    await life.live(100)  # the clock is known to be right
    life.seconds = 0
    return life


async def plan(life: Life, kind: str, delay: int) -> None:
    """A task that is to be ready in `delay` seconds."""
    now = life.clock.now()
    if kind == "delay":
        await life.service.enqueue([TaskRequest("tick", {}, EnqueueOptions(delay=delay))])
        return
    task = await claimed(life.store, now)
    life.ready_at.clear()
    if kind == "retry":
        assert await life.store.retry(task.id, task.fence, ERROR, now + delay * 1000, now)
    else:
        assert await life.store.crash(task.id, task.fence, now + delay * 1000, now)


@WHEN
@EVERY_STEP
@pytest.mark.parametrize("delay", [3, 100])
@pytest.mark.parametrize("kind", ["retry", "crash", "delay"])
async def test_what_was_planned_before_the_step_comes_after_its_delay_and_not_later(
    life: Life, kind: str, delay: int, step: Step, down: bool
) -> None:
    await plan(life, kind, delay)
    await life.live(1)
    await life.endure(step, down)
    await life.live(delay + LOOK)
    (ready,) = life.ready_at
    gone = 1 + (step.lasts or 0)
    assert ready <= gone + delay + LOOK
    if step.lasts is not None:  # else the new time is the true one, and it may be over by that
        assert ready >= delay


@WHEN
@EVERY_STEP
@pytest.mark.parametrize("kind", ["retry", "crash", "delay"])
async def test_what_is_planned_after_the_step_comes_after_its_delay_and_not_later(
    life: Life, kind: str, step: Step, down: bool
) -> None:
    """By the time that the clock shows then, which is not believed yet; and if that was wrong, again from there."""
    if down:
        life.clock.step(step.seconds)
        await life.restart()
    else:
        life.clock.step(step.seconds)
    await life.turn()
    await plan(life, kind, 4)
    await life.live(2)
    if step.lasts is not None:
        life.clock.step(-step.seconds)
    await life.live(6)
    (ready,) = life.ready_at
    assert 4 <= ready <= (4 + 1 if step.lasts is None else 2 + 4 + 1)


@WHEN
async def test_what_is_due_by_a_clock_that_was_wrong_for_seconds_does_not_start(life: Life, down: bool) -> None:
    now = life.clock.now()
    options = [EnqueueOptions(delay=10 * DAY), EnqueueOptions(run_at=now + 10 * DAY * 1000)]
    await life.service.enqueue([TaskRequest("tick", {}, one) for one in options])
    await life.endure(Step(30 * DAY, lasts=5), down)
    await life.live(100)
    assert life.ready_at == []
    life.clock.advance(10 * DAY - 105)
    await life.live(DOUBT)
    assert len(life.ready_at) == 2


@WHEN
async def test_a_date_that_the_caller_gave_stays_that_date(life: Life, sql: Sql, down: bool) -> None:
    run_at = life.clock.now() + 60_000
    await life.service.enqueue([TaskRequest("tick", {}, EnqueueOptions(run_at=run_at))])
    await life.endure(Step(-2 * HOUR), down)
    await life.live(65)
    assert life.ready_at == []
    assert sql("SELECT run_at FROM tasks") == [(run_at,)]
    life.clock.step(2 * HOUR)
    await life.live(DOUBT)
    assert len(life.ready_at) == 1


@pytest.mark.parametrize(("down", "within"), [(HOUR, 1), (DAY, 1), (3 * DAY, DOUBT)])
async def test_what_was_due_while_the_server_was_down_starts_at_once_or_within_a_moment(
    life: Life, down: int, within: int
) -> None:
    await plan(life, "delay", 60)
    life.clock.advance(down)
    await life.restart()
    await life.live(within)
    assert len(life.ready_at) == 1


async def test_what_must_start_in_time_is_claimed_once_the_clock_is_right_again(life: Life) -> None:
    """A task is not started when its time to start is over by the clock, so whoever claims must look once more."""
    await life.service.enqueue([TaskRequest("tick", {}, EnqueueOptions(expires=HOUR))])
    life.clock.step(30 * DAY)
    await life.live(5)
    assert await life.store.claim({"default": 1}, life.clock.now()) == []
    assert life.rung == []
    life.clock.step(-30 * DAY)
    await life.live(1)
    assert life.rung == ["default"]
    assert len(await life.store.claim({"default": 1}, life.clock.now())) == 1


async def test_many_are_planned_anew_in_bites(life: Life, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quart_app.engine.upkeep.poller.CHUNK", 3)
    await life.service.enqueue([TaskRequest("tick", {}, EnqueueOptions(delay=30)) for _ in range(10)])
    await life.endure(Step(-2 * HOUR), down=False)
    await life.live(31)
    assert len(life.ready_at) == 10


async def test_a_rerun_and_a_crash_without_a_pause_leave_no_delay_behind(life: Life, sql: Sql) -> None:
    """Else a later step back would make the task wait once more for a delay that it has had."""
    await plan(life, "retry", 3)
    await life.live(3 + LOOK)
    (task,) = await life.store.claim({"default": 1}, life.clock.now())
    assert await life.store.crash(task.id, task.fence, None, life.clock.now())
    assert sql("SELECT delay_ms FROM tasks") == [(None,)]
    await life.store.cancel(task.id, life.clock.now())
    assert await life.store.rerun(task.id, False, life.clock.now())
    assert sql("SELECT delay_ms, ready FROM tasks") == [(None, 1)]


# --- schedules


async def add(life: Life, **fields: object) -> None:
    await life.schedules.add("s", "", {"kind": "tick", "overlap": "queue", **fields})


@WHEN
@EVERY_STEP
@pytest.mark.parametrize("catch_up", ["skip", "one", "all"])
@pytest.mark.parametrize("every", [True, False], ids=["every", "cron"])
async def test_a_schedule_goes_on_after_a_step_and_makes_no_fire_twice(
    life: Life, sql: Sql, every: bool, catch_up: str, step: Step, down: bool
) -> None:
    await add(life, catch_up=catch_up, **({"every_ms": 60_000} if every else {"cron": "* * * * *"}))
    await life.live(3 * MINUTE)
    before = len(fires(sql))
    assert before == 3
    await life.endure(step, down)
    await life.live(2 * MINUTE + LOOK)
    made = len(fires(sql)) - before
    assert await total(life) == len(set(fires(sql))) == len(fires(sql))
    if step.lasts is not None:
        assert made in (2, 3), "as if nothing had happened"
        assert max(fires(sql)) < life.clock.now() / 1000
    elif step.seconds > 0:  # what lies between is missed, and made up for by the rule
        assert {"skip": 2, "one": 3, "all": 122}[catch_up] - 1 <= made <= {"skip": 3, "one": 4, "all": 123}[catch_up]
    elif every:
        assert made == 2, "a period after the last fire, whatever the clock shows"
    else:  # the three that are on record lie two hours ahead; those until then are new
        assert made in (2, 3)


async def total(life: Life) -> int:
    return sum(count.n for count in await life.store.counts())


async def test_the_fires_of_the_hours_that_the_clock_shows_again_are_not_made_again(life: Life, sql: Sql) -> None:
    await add(life, cron="* * * * *", catch_up="all")
    await life.live(10 * MINUTE)
    known = fires(sql)
    life.clock.step(-5 * MINUTE)
    await life.live(5 * MINUTE)
    assert fires(sql) == known
    await life.live(3 * MINUTE)
    assert len(fires(sql)) == len(known) + 3


async def test_a_schedule_that_was_made_by_a_clock_that_was_ahead_is_planned_anew(life: Life, sql: Sql) -> None:
    await life.turn()
    life.clock.step(30 * DAY)
    await life.turn()
    await add(life, cron="* * * * *")
    life.clock.step(-30 * DAY)
    await life.live(MINUTE + LOOK)
    assert len(fires(sql)) == 1
    assert sql("SELECT last_error FROM schedules") == [(None,)]


async def test_planning_anew_keeps_what_the_schedule_says_of_its_last_fire(life: Life, sql: Sql) -> None:
    await add(life, cron="* * * * *")
    sql("UPDATE schedules SET last_error = 'why', next_at = next_at + ?", 30 * DAY * 1000)
    await life.restart()
    await life.turn()
    ((error, next_at),) = sql("SELECT last_error, next_at FROM schedules")
    assert error == "why"
    assert next_at - life.clock.now() <= 60_000


async def test_a_clock_that_goes_as_it_should_makes_no_fire_late(life: Life, sql: Sql) -> None:
    """A restart does not, either, when the store was at work just before."""
    await add(life, every_ms=5_000)
    for _ in range(4):
        await life.live(5)
        await life.restart()
    began = min(fires(sql))
    assert fires(sql) == [began + 5 * n for n in range(4)]
    assert sql("SELECT DISTINCT t.created_at - f.fire_at FROM fires f JOIN tasks t ON t.id = f.task_id") == [(0,)]
    assert began * 1000 + START <= life.clock.now()
