"""The hooks around every view: they check the request, find its caller, allow other sites, and count it all.

There is one hook before and one after a request, because each further hook costs as much as its work."""

from __future__ import annotations

from quart import Blueprint, Quart, Request, Response, websocket

from quart_app.process.metrics import Metrics
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages.problems import Problem
from quart_app.web.protection import origins, request_checks
from quart_app.web.protection.auth import Authenticator, caller, name_or_peer
from quart_app.web.protection.requests_in_flight import Share, share_of
from quart_app.web.routes.metrics import count, start_watch


class RequestHooks:
    def __init__(self, state: AppState, metrics: Metrics) -> None:
        self._metrics = metrics
        self._authenticator = Authenticator(state)
        self._allowed = frozenset(origin.encode() for origin in state.settings.origins)

    def install(self, target: Quart | Blueprint) -> None:
        """Install the hooks on all views of a whole app, or of one blueprint in an embedding app."""
        target.before_request(self._before_request)
        target.before_websocket(self._before_websocket)
        target.after_request(self._after_request)

    async def _before_request(self) -> Response | None:
        request = this_request()
        start_watch(request)
        if self._allowed:
            request_checks.let_in(request, self._allowed)
        request_checks.check(request)
        if self._allowed and (answer := origins.preflight(request, self._allowed)) is not None:
            return answer
        await self._authenticator.admit(request)
        if (share := share_of(request.scope)) is not None:
            _count(request, share)
        return None

    async def _before_websocket(self) -> None:
        """Check the handshake, so that a refusal is a status before it is accepted."""
        handshake = websocket._get_current_object()  # type: ignore[attr-defined]
        request_checks.let_in(handshake, self._allowed)
        request_checks.check_handshake(handshake)
        await self._authenticator.admit(handshake)

    async def _after_request(self, response: Response) -> Response:
        request = this_request()
        count(request, response, self._metrics)
        if not self._allowed:  # only apps with allowed origins pay for it
            return response
        try:
            return origins.expose(response, self._allowed)
        except Problem:  # the request had too many fields to read one
            return response


def _count(request: Request, share: Share) -> None:
    """Count the request. Raises Problem 429, 503. A route that needs no key (/health) is never refused here."""
    if caller(request).scopes:
        share.belongs_to(name_or_peer(request))
