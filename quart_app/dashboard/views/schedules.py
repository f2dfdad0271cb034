"""`/dashboard/schedules`: when tasks are made by themselves; pause, resume, trigger."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.audit_acts import ActName
from quart_app.core.errors import TaskNotFound
from quart_app.core.schedule import Schedule, next_fire
from quart_app.core.task import Task
from quart_app.dashboard.cron_words import in_words
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller
from quart_app.web.routes.audit_log import on_record

PAGE: Final = 50
FIRES: Final = 5
QUERY: Final[dict[str, parse.Reader]] = {"after": parse.key_text, "said": parse.text(0, 50)}


class SchedulePages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/schedules", self.find)
        for name, act in (("pause", self.pause), ("resume", self.resume), ("trigger", self.trigger)):
            self._frame.add(made, f"/dashboard/schedules/<schedule>/{name}", act, "write", "POST")

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, QUERY)
        found = await self._state.schedules.find(caller(request).sees, query.get("after", ""), PAGE + 1)
        views = [await self._view(one) for one in found[:PAGE]]
        following = found[PAGE - 1].key if len(found) > PAGE else None
        return self._frame.page(
            "schedules.html",
            "Schedules",
            schedules=views,
            following=following,
            fires=bool(self._state.settings.schedules),
        )

    async def _view(self, one: Schedule) -> dict[str, Any]:
        last: Task | None = None
        if one.last_task_id is not None:
            with contextlib.suppress(TaskNotFound):  # deleted by now
                last = await self._state.service.get(one.last_task_id, caller(this_request()).sees)
        return {"one": one, "words": in_words(one.plan), "next": _next(one), "last": last}

    async def pause(self, schedule: str) -> Response:
        return await self._change(schedule, True)

    async def resume(self, schedule: str) -> Response:
        return await self._change(schedule, False)

    async def _change(self, schedule: str, paused: bool) -> Response:
        owned = await self._owned(schedule)
        doing = self._state.schedules.change(schedule, owned.owner, {"paused": paused})
        name: ActName = "schedule.change"
        await on_record(self._state, this_request(), name, schedule, owned.owner, doing, owned.kind)
        return self._frame.go("dashboard/schedules", "paused" if paused else "resumed")

    async def trigger(self, schedule: str) -> Response:
        owned = await self._owned(schedule)
        request = this_request()
        doing = self._state.schedules.trigger(schedule, owned.owner, by_owner=caller(request).sees is not None)
        made = await on_record(self._state, request, "schedule.trigger", schedule, owned.owner, doing, owned.kind)
        return self._frame.go(f"dashboard/tasks/{made.id}", "triggered")

    async def _owned(self, schedule: str) -> Schedule:
        """The schedule that the form means: names are unique among one owner's."""
        sent = await self._frame.form()
        sees = caller(this_request()).sees
        owner = sent.get("owner", "") if sees is None else sees
        return await self._state.schedules.get(schedule, owner)


def _next(one: Schedule) -> list[int]:
    """The next fires."""
    if one.next_at is None:
        return []
    fires, at = [one.next_at], one.next_at
    while len(fires) < FIRES:
        following = next_fire(one.plan, at)
        if following is None:
            break
        fires.append(at := following)
    return fires
