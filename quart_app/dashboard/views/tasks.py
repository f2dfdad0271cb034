"""`/dashboard/tasks`: tasks, the newest first, as the query bar asks."""

from __future__ import annotations

from typing import Final

from quart import Blueprint, Response

from quart_app.core.task import STATUSES, TaskFilter
from quart_app.dashboard import query_bar
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller

PAGE: Final = 50
QUERY: Final[dict[str, parse.Reader]] = {
    "q": parse.text(0, query_bar.MOST),
    "below": parse.integer(1, 999_999_999),
    "said": parse.text(0, 50),
}


class TasksPage:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/tasks", self.show)

    async def show(self) -> Response:
        request = this_request()
        query = parse.query(request, QUERY)
        text = query.get("q", "").strip()
        sees = caller(request).sees
        kinds = self._state.service.registry.names()
        wanted = query_bar.read(text, kinds, sees is None)
        if wanted.task_id is not None:
            return self._frame.go(f"dashboard/tasks/{wanted.task_id}")
        below = query.get("below")
        found = []
        if not wanted.wrong:
            owner = sees if sees is not None else wanted.filters.pop("owner", None)
            found = await self._state.service.find(
                TaskFilter(**{**wanted.filters, "owner": owner}, before_seq=below, limit=PAGE + 1)
            )
        return self._frame.page(
            "tasks.html",
            "Tasks",
            q=text,
            wrong=wanted.wrong,
            tasks=found[:PAGE],
            below=below,
            older=found[PAGE - 1].seq if len(found) > PAGE else None,
            chips=[(status, query_bar.toggled(text, "status", status)) for status in STATUSES],
            every=query_bar.toggled(text, "status", None),
            chosen=wanted.filters.get("status"),
            words=[*query_bar.WORDS, *([query_bar.OWNER] if sees is None else [])],
            kinds=sorted(kinds),
        )
