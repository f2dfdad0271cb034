"""`/api/data`: a fixed number of calls in an hour for each user, never more.

Header fields as in draft-ietf-httpapi-ratelimit-headers-09: the policy's quota `q` and window `w` (seconds), the
remaining calls `r`, and the seconds `t` until there will be more.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response

from quart_app.core.errors import InvalidInput
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.auth import caller
from quart_app.web.protection.request_checks import field, refuse_unasked

if TYPE_CHECKING:
    from quart_app.service.client_limits import Standing

USER: Final = "[\\x21-\\x7e]{1,100}"
POLICY: Final = "api-data"


class LimitedViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_limited", __name__)
        made.add_url_rule("/api/data", "data", self.data)
        return made

    async def data(self) -> Response:
        request = this_request()
        parse.query(request, {})
        user = field(request, b"x-user-id")
        if user is None or not re.fullmatch(USER, user):
            raise InvalidInput("X-User-ID must be one text of 1 to 100 visible ASCII characters")
        clients, owner = self._state.clients, caller(request).name
        if request.method == "HEAD":  # a HEAD is not counted
            standing = await clients.look(owner, user)
        else:
            refuse_unasked(request)
            standing = await clients.call(owner, user)
        headers = self._headers(standing)
        if not standing.allowed:
            detail = f"{clients.max_calls} calls in any {clients.window} s are allowed, for each X-User-ID"
            raise Problem(429, "too-many-calls", "Too Many Requests", detail, headers)
        return render.answer({"data": "what there is"}, headers=headers)

    def _headers(self, standing: Standing) -> dict[str, str]:
        clients = self._state.clients
        headers = {
            "RateLimit-Policy": f'"{POLICY}";q={clients.max_calls};w={clients.window}',
            "RateLimit": f'"{POLICY}";r={standing.left}',
        }
        if standing.resets is not None:
            seconds = max(math.ceil(standing.resets), 1)
            headers["RateLimit"] += f";t={seconds}"
            if not standing.allowed:
                headers["Retry-After"] = str(seconds)
        return headers
