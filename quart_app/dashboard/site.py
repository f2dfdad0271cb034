"""Registers the pages. To remove the dashboard, delete its line in `create_app`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quart import Blueprint, Response
from werkzeug.exceptions import NotFound

from quart_app.dashboard.frame import Frame
from quart_app.dashboard.live import LiveViews
from quart_app.dashboard.views.errors import ErrorPages
from quart_app.dashboard.views.kinds import KindPages
from quart_app.dashboard.views.overview import OverviewPage
from quart_app.dashboard.views.queues import QueuePages
from quart_app.dashboard.views.schedules import SchedulePages
from quart_app.dashboard.views.sign_in import SignInPages
from quart_app.dashboard.views.task import TaskPages
from quart_app.dashboard.views.tasks import TasksPage
from quart_app.dashboard.views.waiting import WaitingPage
from quart_app.web.app_state import AppState
from quart_app.web.messages.static_files import FilesInMemory

FILES: Final = {
    "dashboard.css": "text/css",
    "theme.js": "text/javascript",
    "dashboard.js": "text/javascript",
    "live.js": "text/javascript",
    "task.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
NAME: Final = "pages_of_quart_app"
ACTS: Final = ("start", "pause", "resume", "cancel", "retry", "fork", "signal", "set", "trigger")
WITH_PAGES: Final = ("tasks", "kinds")  # those of which each has a page of its own
_STATIC: Final = Path(__file__).parent / "static"


class DashboardViews:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._files = FilesInMemory(state)

    def blueprint(self) -> Blueprint:
        made = Blueprint(NAME, __name__)
        frame = Frame(self._state)
        made.add_url_rule("/dashboard/static/<asset>", "asset", self.asset)
        for pages in (
            *(SignInPages, OverviewPage, TasksPage, TaskPages, KindPages, QueuePages, SchedulePages, ErrorPages),
            *(WaitingPage, LiveViews),
        ):
            pages(frame).register(made)
        self._frame = frame
        frame.add(made, "/dashboard/<path:rest>", self.elsewhere)
        return made

    async def asset(self, asset: str) -> Response:
        if asset not in FILES:
            raise NotFound
        return await self._files.answer(_STATIC / asset, FILES[asset])

    async def elsewhere(self, rest: str) -> Response:
        """No page; the address of a form, which somebody has loaded anew, leads to the page with that form."""
        parts = rest.split("/")
        if len(parts) == 3 and parts[2] in ACTS:
            return self._frame.go("/".join(["dashboard", *parts[: 2 if parts[0] in WITH_PAGES else 1]]))
        raise NotFound
