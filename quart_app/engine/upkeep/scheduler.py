"""Makes the tasks of the schedules whose time has come."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Final, Protocol

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
from quart_app.core.schedule import MAX_COUNTED, TAG, Schedule, Turn, replanned, turn
from quart_app.core.task import NewTask
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.engine.threads import in_thread
from quart_app.engine.upkeep.next_due import NextDue
from quart_app.store.protocols.tasks import ScheduleStore

log = logging.getLogger("quart_app.schedules")

CHUNK: Final = 50
LONG: Final = 3_600_000  # ms: the fires of a longer time are counted in a thread, so that the event loop is free
FULL_PAUSE: Final = 1000  # ms until a full queue is tried again
END_PAUSE: Final = 100  # ms until the next look at a task whose cancel was requested


class ScheduledTasks(Protocol):
    """The methods of TaskService that a scheduler calls; their contracts are there."""

    accepting: bool
    check_start: Callable[[str, str], None]

    async def reserve(self, ready: int) -> None: ...

    def prepare(self, request: TaskRequest, now: int) -> NewTask: ...

    async def cancel(self, task_id: str) -> bool: ...


class Scheduler:
    """Writes a fire, its task and the next time in one transaction, so that no crash makes a fire twice. After a step
    of the clock forward, a fire waits until the trusted time reaches it. After a step back the schedules are planned
    anew, and fires that are on record are left out."""

    def __init__(self, store: ScheduleStore, service: ScheduledTasks, trust: Trust | None = None) -> None:
        self._store = store
        self._service = service
        self._trust = trust or WallTrust()
        self._next_due = NextDue()
        self._set_back = False
        # Schedules that stay due and wait for their cancelled last task to end; at most one for each slot.
        self._ending = 0
        self.due_at = self._next_due.due_at

    async def run_once(self, now: int) -> float | None:
        """Seconds until the next look, or None for the caller's interval."""
        settled = self._trust.to_run(now)
        if self._set_back:
            await self._plan_anew(now)
            self._set_back = False
        return await self._next_due.turn(settled, functools.partial(self._look, wall=now))

    def clock_set_back(self) -> None:
        """Let the next turn plan anew what was planned by a clock that was ahead. Called after a start, too."""
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
        """`now`: schedules due by this time may fire; `wall`: the creation time of their tasks."""
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
            # No fire is lost: fires missed meanwhile are handled by the schedule's `catch_up`.
            log.warning("schedules wait: %s", error)
            return now + FULL_PAUSE
        self._ending = done.count(False)
        if len(due) == limit:
            return now
        return now + END_PAUSE if self._ending else await self._store.next_fire()

    async def _carry_out(self, schedule: Schedule, busy: bool, decided: Turn | Exception, now: int) -> bool:
        """False: not now, because the last task is about to end."""
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
            # It was planned anew after the clock stepped back: fires on record are not made again.
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
        """Cancel the last task. Returns whether it has ended; a running task ends within the grace of a cancel."""
        assert schedule.last_task_id is not None
        try:
            return await self._service.cancel(schedule.last_task_id)
        except (TaskNotFound, WrongState):
            return True  # it has ended meanwhile

    async def _give_up(self, schedule: Schedule, next_at: int | None, error: Exception) -> None:
        """Drop this fire and record the reason in the schedule. A gone key is intended, so it is logged only once."""
        text = str(error)[:1000]
        if not isinstance(error, KeyGone):
            log.error("schedule %s cannot fire: %s", schedule.name, error)
        elif text != schedule.last_error:
            log.warning("schedule %s does not fire: %s", schedule.name, error)
        await self._store.fire(schedule, [], next_at, error=text)


async def _replan(schedule: Schedule, now: int) -> int | None:
    await asyncio.sleep(0)  # as below: it takes time to find the next fire
    try:
        return replanned(schedule, now)
    except Exception:  # a time zone that the machine no longer knows: the next fire records the error
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
        level = logging.DEBUG if waits else logging.INFO  # an overlap is expected, a missed fire is not
        log.log(level, "schedule %s: fires due: %s, made: %d (%s)", schedule.name, number, made, reason)
