"""Signals to tasks, and the tasks that wait for one."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.flow import MAX_SIGNAL
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.auth import caller
from quart_app.web.routes.audit_log import on_record

PAGE: Final[dict[str, parse.Reader]] = {
    "limit": parse.integer(1, 200),
    "cursor": parse.pattern(r"[0-9]{1,15}-[0-9]{1,18}", "what came with `next`"),
}


class SignalViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_signals", __name__)
        made.add_url_rule("/tasks/<task_id>/signals/<signal>", "send", self.send, methods=["POST"])
        made.add_url_rule("/waiting", "waiting", self.waiting)
        return made

    async def send(self, task_id: str, signal: str) -> Response:
        """Keep the body, JSON or nothing, for the next wait of the task for this name."""
        request = this_request()
        parse.query(request, {})
        signal = parse.name_text("the name of the signal", signal)
        key = parse.idempotency_key(request)
        body = await parse.json_body(request, self._state.settings.max_body)
        data = "null" if body is parse.NOTHING else codec.compact(body)
        if len(data.encode()) > MAX_SIGNAL:
            raise Problem(
                413, "signal-too-large", "Signal too large", f"signals are limited to {MAX_SIGNAL} bytes of JSON"
            )
        owned = await self._state.service.get(task_id, caller(request).sees)
        sending = self._state.family.signal(task_id, signal, data, key, caller(request).sees)
        replayed = await on_record(self._state, request, "task.signal", task_id, owned.owner, sending)
        document: dict[str, Any] = {
            "task_id": task_id,
            "signal": signal,
            "status_url": f"{self._state.prefix}/tasks/{task_id}",
        }
        return render.answer(document, 202, {"Idempotency-Replayed": "true"} if replayed else None)

    async def waiting(self) -> Response:
        request = this_request()
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        since, _, seq = query.get("cursor", "0-0").partition("-")
        found = await self._state.family.waiting(caller(request).sees, int(since), int(seq), limit + 1)
        page, following = found[:limit], None
        if len(found) > limit:
            again = {"limit": limit} if "limit" in query else {}
            cursor = urlencode({**again, "cursor": f"{page[-1].since}-{page[-1].seq}"})
            following = f"{self._state.prefix}/waiting?{cursor}"
        return render.listing("tasks", [render.waiting(one) for one in page], following)
