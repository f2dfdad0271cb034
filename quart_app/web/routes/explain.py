"""Why a task is where it is."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from quart_app.core.explanation import MANY
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller


class ExplainViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_explain", __name__)
        made.add_url_rule("/tasks/<task_id>/explain", "show", self.show)
        return made

    async def show(self, task_id: str) -> Response:
        request = this_request()
        parse.query(request, {})
        found = await self._state.started.explainer.explain(task_id, caller(request).sees)
        limits = [
            {"name": one.name, "until": render.moment(one.until), "running": one.running, "allowed": one.allowed}
            for one in found.limits
        ]
        position: Any = found.position
        if found.position is not None and found.position > MANY:
            position = f"{MANY}+"
        document = {"task_id": task_id, "reason": found.reason, "text": found.text, "position": position}
        document |= {"limits": limits, "expected_start": render.moment(found.expected_start)}
        document |= {"expected_end": render.moment(found.expected_end), "based_on": found.based_on}
        return render.answer(document)
