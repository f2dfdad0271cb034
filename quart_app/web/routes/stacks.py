"""Where a running task is in its code."""

from __future__ import annotations

from quart import Blueprint, Response

from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller


class StackViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_stacks", __name__)
        made.add_url_rule("/tasks/<task_id>/stack", "show", self.show)
        return made

    async def show(self, task_id: str) -> Response:
        request = this_request()
        parse.query(request, {})
        at, frames = await self._state.stacks.read(task_id, caller(request).sees)
        return render.answer({"at": render.moment(at), "frames": [frame._asdict() for frame in frames]})
