"""The gate before every view: what the guard refuses, who asks, other sites that are let in; and the count of it all.

One hook before and one after a request: each hook more costs as much as what it does."""

from __future__ import annotations

from quart import Blueprint, Quart, Request, Response, websocket

from quart_app.metrics import Metrics
from quart_app.web import guard, origins
from quart_app.web.auth import Doorkeeper, caller
from quart_app.web.door import Door, this_request
from quart_app.web.flight import Share, share_of
from quart_app.web.metrics import count, start_watch
from quart_app.web.problems import Problem


class Gate:
    def __init__(self, door: Door, metrics: Metrics) -> None:
        self._metrics = metrics
        self._keeper = Doorkeeper(door)
        self._allowed = frozenset(origin.encode() for origin in door.settings.origins)

    def stand_before(self, target: Quart | Blueprint) -> None:
        """All views of a whole app, or of one blueprint in somebody's app."""
        target.before_request(self._before_request)
        target.before_websocket(self._before_websocket)
        target.after_request(self._after_request)

    async def _before_request(self) -> Response | None:
        request = this_request()
        start_watch(request)
        if self._allowed:
            guard.let_in(request, self._allowed)
        guard.check(request)
        if self._allowed and (answer := origins.preflight(request, self._allowed)) is not None:
            return answer
        await self._keeper.admit(request)
        if (share := share_of(request.scope)) is not None:
            _count(request, share)
        return None

    async def _before_websocket(self) -> None:
        """The handshake, refused with a status before it is accepted."""
        handshake = websocket._get_current_object()  # type: ignore[attr-defined]
        guard.let_in(handshake, self._allowed)
        guard.check_handshake(handshake)
        await self._keeper.admit(handshake)

    async def _after_request(self, response: Response) -> Response:
        request = this_request()
        count(request, response, self._metrics)
        if not self._allowed:  # nobody else pays for it
            return response
        try:
            return origins.expose(response, self._allowed)
        except Problem:  # the request had too many fields to read one
            return response


def _count(request: Request, share: Share) -> None:
    """Raises Problem 429, 503. What asks for no key (/health) is never refused for it."""
    who = caller(request)
    if who.scopes:
        client = request.scope.get("client")
        share.belongs_to(who.name or (client[0] if client else ""))
