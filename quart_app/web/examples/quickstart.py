"""`/start/<x>/<y>` and `/status/<task_id>`: the two routes of the quick guide, made durable."""

from __future__ import annotations

import re
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.errors import InvalidInput
from quart_app.core.task import Task
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller, require
from quart_app.web.protection.request_checks import refuse_unasked

_INTEGER: Final = re.compile(r"-?[0-9]{1,1000}", re.ASCII)


class QuickstartViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_quickstart", __name__)
        made.add_url_rule("/start/<x>/<y>", "start", self.start)
        made.add_url_rule("/status/<task_id>", "status", self.status)
        return made

    async def start(self, x: str, y: str) -> Response:
        request = this_request()
        require(request, "write")
        parse.query(request, {})
        refuse_unasked(request)
        owned = EnqueueOptions(owner=caller(request).name)
        asked = TaskRequest("add", {"x": _integer("x", x), "y": _integer("y", y)}, owned)
        (made,) = await self._state.service.accept([asked])
        return render.answer({"task_id": made.id, "status": "started", **render.urls(made.id, self._state.prefix)})

    async def status(self, task_id: str) -> Response:
        request = this_request()
        parse.query(request, {})
        return render.answer(_simple(await self._state.service.get(task_id, caller(request).sees)))


def _simple(task: Task) -> dict[str, Any]:
    match task.status:
        case "completed":
            return {"status": "done", "result": render.raw(task.result)}
        case "failed":
            return {"status": "failed", "error": f"{task.error_type}: {task.error_message}"}
        case "cancelled":
            return {"status": "cancelled"}
        case _:
            return {"status": "running"}


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise InvalidInput(f"{name} must be an integer of up to {codec.MAX_DIGITS} digits")
    return int(text)
