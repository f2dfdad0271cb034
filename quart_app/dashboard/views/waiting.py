"""`/dashboard/waiting`: tasks that wait for a signal, and buttons that send it."""

from __future__ import annotations

from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core.errors import InvalidInput, WrongState
from quart_app.dashboard.frame import Frame
from quart_app.dashboard.views.task import send_signal
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller

PAGE: Final = 50
QUERY: Final[dict[str, parse.Reader]] = {
    "after": parse.pattern(r"[0-9]{1,15}-[0-9]{1,18}", "what came with the link"),
    "said": parse.text(0, 50),
}
# What the buttons send: the same as the pages behind `ctx.link`.
CHOICES: Final = {
    "approve": '{"choice": "approve", "remark": null}',
    "decline": '{"choice": "decline", "remark": null}',
}


class WaitingPage:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/waiting", self.find)
        self._frame.add(made, "/dashboard/waiting/<task_id>", self.send, "write", "POST")

    async def find(self) -> Response:
        return await self._page(parse.query(this_request(), QUERY))

    async def _page(self, query: dict[str, Any], wrong: str = "", status: int = 200) -> Response:
        since, _, seq = query.get("after", "0-0").partition("-")
        found = await self._state.family.waiting(caller(this_request()).sees, int(since), int(seq), PAGE + 1)
        tasks = found[:PAGE]
        following = f"{tasks[-1].since}-{tasks[-1].seq}" if len(found) > PAGE else None
        return self._frame.page("waiting.html", "Waiting", status, tasks=tasks, following=following, wrong=wrong)

    async def send(self, task_id: str) -> Response:
        """Send the signal of a button, or the JSON of the field beside it."""
        sent = await self._frame.form()
        data = CHOICES.get(sent.get("choice", ""), sent.get("data", ""))
        try:
            await send_signal(self._frame, task_id, sent.get("name", ""), data)
        except (InvalidInput, WrongState) as error:
            return await self._page({}, f"Nothing was sent: {error}", 422)
        return self._frame.go("dashboard/waiting", "signalled")
