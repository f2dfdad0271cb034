"""`/dashboard/errors`: failed tasks, grouped by what went wrong; retry all of a group."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.error_groups import PATTERN
from quart_app.core.task import Enqueued
from quart_app.core.task_request import EnqueueOptions
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import actor, caller
from quart_app.web.routes.audit_log import bulk_act, on_everybody

PAGE: Final = 50
QUERY: Final[dict[str, parse.Reader]] = {
    "below": parse.pattern(rf"[0-9]{{1,15}}-{PATTERN}", "what came with the link"),
    "said": parse.text(0, 50),
}


class ErrorPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/errors", self.find)
        self._frame.add(made, "/dashboard/errors/<fingerprint>/retry", self.retry, "write", "POST")

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, QUERY)
        last_at, _, last = query.get("below", "").partition("-")
        before = (int(last_at), last) if last else None
        found = await self._state.error_groups.find(caller(request).sees, before, PAGE + 1)
        groups = found[:PAGE]
        older = f"{groups[-1].last_seen}-{groups[-1].fingerprint}" if len(found) > PAGE else None
        return self._frame.page("errors.html", "Errors", groups=groups, older=older, below=query.get("below"))

    async def retry(self, fingerprint: str) -> Response:
        """Make the bulk task that retries all tasks of a group."""
        await self._frame.form()
        request, state = this_request(), self._state
        await state.error_groups.check(caller(request).sees, fingerprint)
        args = {"action": "retry", "filter": {"error": fingerprint}}
        made = await asyncio.shield(self._start(args))  # a browser that hangs up leaves no act unrecorded
        return self._frame.go(f"dashboard/tasks/{made.id}", "bulk")

    async def _start(self, args: dict[str, Any]) -> Enqueued:
        request, state = this_request(), self._state
        made = await state.bulk.start(args, EnqueueOptions(owner=caller(request).name))
        if on_everybody(request):
            await state.audit_log.put([bulk_act(state, actor(request), made.id, args)])
        return made
