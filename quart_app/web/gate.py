"""The gate before every view: what the guard refuses, who asks, and other sites that are let in."""

from __future__ import annotations

from quart import Blueprint, Quart, Response, websocket

from quart_app.web import guard, origins
from quart_app.web.auth import Doorkeeper
from quart_app.web.door import Door, this_request
from quart_app.web.problems import Problem


class Gate:
    def __init__(self, door: Door) -> None:
        self._keeper = Doorkeeper(door)
        self._allowed = frozenset(origin.encode() for origin in door.settings.origins)

    def stand_before(self, target: Quart | Blueprint) -> None:
        """All views of a whole app, or of one blueprint in somebody's app."""
        target.before_request(self._before_request)
        target.before_websocket(self._before_websocket)
        if self._allowed:  # nobody else pays for it
            target.after_request(self._after_request)

    async def _before_request(self) -> Response | None:
        request = this_request()
        if self._allowed:
            guard.let_in(request, self._allowed)
        guard.check(request)
        if self._allowed and (answer := origins.preflight(request, self._allowed)) is not None:
            return answer
        self._keeper.admit(request)
        return None

    async def _before_websocket(self) -> None:
        """The handshake, refused with a status before it is accepted."""
        handshake = websocket._get_current_object()  # type: ignore[attr-defined]
        guard.let_in(handshake, self._allowed)
        guard.check_handshake(handshake)
        self._keeper.admit(handshake)

    async def _after_request(self, response: Response) -> Response:
        try:
            return origins.expose(response, self._allowed)
        except Problem:  # the request had too many fields to read one
            return response
