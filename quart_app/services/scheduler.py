"""Makes the tasks of the schedules whose time has come."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Final

from quart_app.clock import Trust, WallTrust
from quart_app.core import codec
from quart_app.core.errors import (
    InvalidArgs,
    KeyGone,
    KindRefused,
    QueueFull,
    ScopeNeeded,
    TaskNotFound,
    UnknownKind,
    WrongState,
)
from quart_app.core.request import EnqueueOptions, TaskRequest
from quart_app.core.schedule import MAX_COUNTED, TAG, Schedule, Turn, replanned, turn
from quart_app.core.task import NewTask
from quart_app.runner.threads import in_thread
from quart_app.service import TaskService
from quart_app.services.alarm import Alarm
from quart_app.store.base import ScheduleStore

log = logging.getLogger("quart_app.schedules")

CHUNK: Final = 50
LONG: Final = 3_600_000  # ms: the fires of a longer time are counted in a thread, which lets the event loop turn
FULL_PAUSE: Final = 1000  # ms until a full queue is tried again
END_PAUSE: Final = 100  # ms until another look at a task that was asked to end


class Scheduler:
    """A fire, its task and the next time are one transaction, so a fire is made at most once, whatever dies when.
    What is due by a clock that has just stepped forward waits until that time is to be believed. After a step back the
    schedules are planned anew, and of their fires those are left out that are on record."""

    def __init__(self, store: ScheduleStore, service: TaskService, trust: Trust | None = None) -> None:
        self._store = store
        self._service = service
        self._trust = trust or WallTrust()
        self._alarm = Alarm()
        self._set_back = False
        self._ending = 0  # schedules whose last task was asked to end: they stay due, and no more than there are slots
        self.due_at = self._alarm.due_at

    async def run_once(self, now: int) -> float | None:
        """Seconds until it is worth another look, at most the caller's interval (None)."""
        settled = self._trust.to_run(now)
        if self._set_back:
            await self._plan_anew(now)
            self._set_back = False
        return await self._alarm.turn(settled, functools.partial(self._look, wall=now))

    def clock_set_back(self) -> None:
        """The next turn looks for schedules that were planned by a clock that was ahead; so it does after a start."""
        self._set_back = True

    async def _plan_anew(self, now: int) -> None:
        after, page = "", await self._store.find_schedules(None, "", CHUNK)
        while page:
            for schedule in page:
                next_at = await _replan(schedule, now)
                if next_at != schedule.next_at:
                    log.info("schedule %s was planned by a clock that was ahead; it is planned anew", schedule.name)
                    await self._store.fire(schedule, [], next_at, error=schedule.last_error)
            after = page[-1].key
            page = await self._store.find_schedules(None, after, CHUNK)
        self.due_at(now)

    async def _look(self, now: int, wall: int) -> int | None:
        """`now`: what is due by then may fire; `wall`: the date of what is made."""
        if not self._service.accepting:
            return now + FULL_PAUSE
        limit = CHUNK + self._ending
        due = await self._store.due_schedules(now, limit)
        turns = []
        for schedule, busy in due:
            turns.append((schedule, busy, await _decide(schedule, now, busy)))
        try:
            done = await asyncio.gather(*(self._carry_out(*one, wall) for one in turns))
        except QueueFull as error:
            # Nothing is refused: what is missed meanwhile is caught up with as the schedule says.
            log.warning("schedules wait: %s", error)
            return now + FULL_PAUSE
        self._ending = done.count(False)
        if len(due) == limit:
            return now
        return now + END_PAUSE if self._ending else await self._store.next_fire()

    async def _carry_out(self, schedule: Schedule, busy: bool, decided: Turn | Exception, now: int) -> bool:
        """False: not now, the last task is about to end."""
        if isinstance(decided, Exception):
            await self._give_up(schedule, None, decided)
            return True
        try:
            if decided.fires:
                self._service.check_start(schedule.owner, schedule.kind)
            fires = [(at, self._prepare(schedule, now)) for at in decided.fires]
        except (UnknownKind, ScopeNeeded, InvalidArgs, KeyGone, KindRefused) as error:
            await self._give_up(schedule, decided.next_at, error)
            return True
        if fires:
            await self._service.reserve(len(fires))
            if busy and schedule.overlap == "cancel" and not await self._cancel_last(schedule):
                return False
        answer = await self._store.fire(schedule, fires, decided.next_at)
        if answer == "known":
            # Planned anew after the clock stepped back: what was fired before is not fired again.
            made = await self._store.made_fires(schedule.key, decided.fires)
            fires = [(at, task) for at, task in fires if at not in made]
            answer = await self._store.fire(schedule, fires, decided.next_at)
        if answer == "fired":
            _tell(schedule, decided, len(fires), busy)
        return True

    def _prepare(self, schedule: Schedule, now: int) -> NewTask:
        options = EnqueueOptions(owner=schedule.owner, tags=(TAG + schedule.name,))
        return self._service.prepare(TaskRequest(schedule.kind, codec.loads(schedule.args), options), now)

    async def _cancel_last(self, schedule: Schedule) -> bool:
        """Whether it has ended. One that runs ends within the grace of every cancel."""
        assert schedule.last_task_id is not None
        try:
            return await self._service.cancel(schedule.last_task_id)
        except (TaskNotFound, WrongState):
            return True  # meanwhile

    async def _give_up(self, schedule: Schedule, next_at: int | None, error: Exception) -> None:
        """This fire is lost, and the schedule says why; the log says once what is meant to be so."""
        text = str(error)[:1000]
        if not isinstance(error, KeyGone):
            log.error("schedule %s cannot fire: %s", schedule.name, error)
        elif text != schedule.last_error:
            log.warning("schedule %s does not fire: %s", schedule.name, error)
        await self._store.fire(schedule, [], next_at, error=text)


async def _replan(schedule: Schedule, now: int) -> int | None:
    await asyncio.sleep(0)  # as below: finding the next fire takes a moment
    try:
        return replanned(schedule, now)
    except Exception:  # a time zone that the machine no longer knows: its next fire will say so
        return schedule.next_at


async def _decide(schedule: Schedule, now: int, busy: bool) -> Turn | Exception:
    assert schedule.next_at is not None
    try:
        if now - schedule.next_at > LONG:
            return await in_thread(lambda: turn(schedule, now, busy), "schedule-turn")
        await asyncio.sleep(0)  # sixty fires of some time zone take a millisecond to count
        return turn(schedule, now, busy)
    except Exception as error:  # a time zone that the machine no longer knows
        return error


def _tell(schedule: Schedule, decided: Turn, made: int, busy: bool) -> None:
    if decided.due > made:
        number = f"{decided.due} or more" if decided.due == MAX_COUNTED else str(decided.due)
        waits = busy and not made
        reason = "its last task has not ended" if waits else f"catch_up is {schedule.catch_up}"
        level = logging.DEBUG if waits else logging.INFO  # an overlap is the plan, a missed fire is not
        log.log(level, "schedule %s: fires due: %s, made: %d (%s)", schedule.name, number, made, reason)
