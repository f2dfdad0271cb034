"""Makes the tasks of the schedules whose time has come."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from quart_app.core import codec
from quart_app.core.errors import InvalidArgs, QueueFull, TaskNotFound, UnknownKind, WrongState
from quart_app.core.schedule import MAX_COUNTED, TAG, Schedule, Turn, turn
from quart_app.core.task import NewTask
from quart_app.runner.threads import in_thread
from quart_app.service import EnqueueOptions, TaskRequest, TaskService
from quart_app.services.alarm import Alarm
from quart_app.store.base import ScheduleStore

log = logging.getLogger("quart_app.schedules")

CHUNK: Final = 50
LONG: Final = 3_600_000  # ms: the fires of a longer time are counted in a thread, which lets the event loop turn
FULL_PAUSE: Final = 1000  # ms until a full queue is tried again
END_PAUSE: Final = 100  # ms until another look at a task that was asked to end


class Scheduler:
    """A fire, its task and the next time are one transaction, so a fire is made at most once, whatever dies when.
    The next fire follows from the last one, never from now: a clock that steps back makes nothing fire again."""

    def __init__(self, store: ScheduleStore, service: TaskService) -> None:
        self._store = store
        self._service = service
        self._alarm = Alarm()
        self._ending = 0  # schedules whose last task was asked to end: they stay due, and no more than there are slots
        self.due_at = self._alarm.due_at

    async def run_once(self, now: int) -> float | None:
        """Seconds until it is worth another look, at most the caller's interval (None)."""
        return await self._alarm.turn(now, self._look)

    async def _look(self, now: int) -> int | None:
        if not self._service.accepting:
            return now + FULL_PAUSE
        limit = CHUNK + self._ending
        due = await self._store.due_schedules(now, limit)
        turns = []
        for schedule, busy in due:
            turns.append((schedule, busy, await _decide(schedule, now, busy)))
        try:
            done = await asyncio.gather(*(self._carry_out(*one, now) for one in turns))
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
            fires = [(at, self._prepare(schedule, now)) for at in decided.fires]
        except (UnknownKind, InvalidArgs) as error:
            await self._give_up(schedule, decided.next_at, error)
            return True
        if fires:
            await self._service.reserve(len(fires))
            if busy and schedule.overlap == "cancel" and not await self._cancel_last(schedule):
                return False
        answer = await self._store.fire(schedule, fires, decided.next_at)
        if answer == "known":
            # The clock stepped back and somebody planned the schedule anew: go on behind what has been fired.
            last = await self._store.last_fire(schedule.name)
            fires = [(at, task) for at, task in fires if last is None or at > last]
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
        """This fire is lost, and the schedule says why."""
        log.error("schedule %s cannot fire: %s", schedule.name, error)
        await self._store.fire(schedule, [], next_at, error=str(error)[:1000])


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
