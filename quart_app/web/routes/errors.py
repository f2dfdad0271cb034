"""Failed tasks, grouped by what went wrong."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from quart import Blueprint, Response

from quart_app.core.error_groups import PATTERN
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.routes.bulk import start_bulk

PAGE: Final[dict[str, parse.Reader]] = {
    "limit": parse.integer(1, 200),
    "cursor": parse.pattern(rf"[0-9]{{1,15}}-{PATTERN}", "what came with `next`"),
}


class ErrorViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_errors", __name__)
        made.add_url_rule("/errors", "find", self.find)
        made.add_url_rule("/errors/<fingerprint>/retry", "retry", self.retry, methods=["POST"])
        return made

    async def find(self) -> Response:
        request = this_request()
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        last_at, _, last = query.get("cursor", "").partition("-")
        before = (int(last_at), last) if last else None
        found = await self._state.error_groups.find(caller(request).sees, before, limit + 1)
        page, following = found[:limit], None
        if len(found) > limit:
            again = {"limit": limit} if "limit" in query else {}
            cursor = urlencode({**again, "cursor": f"{page[-1].last_seen}-{page[-1].fingerprint}"})
            following = f"{self._state.prefix}/errors?{cursor}"
        return render.listing("errors", [render.error_group(one) for one in page], following)

    async def retry(self, fingerprint: str) -> Response:
        """Make a bulk task that retries all tasks of a group."""
        request = this_request()
        await parse.nothing(request)
        await self._state.error_groups.check(caller(request).sees, fingerprint)
        return await start_bulk(self._state, {"action": "retry", "filter": {"error": fingerprint}})
