"""QUART_APP_TRUSTED_PROXIES: what the proxies before us say of the client.

Hypercorn's ProxyFixMiddleware would do for HTTP; but it calls the scheme of a WebSocket `https`, under which no
WebSocket route is found, and believes any text to be a scheme.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

_SCHEMES: Final = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


class TrustedProxies:
    """ASGI middleware. Of `X-Forwarded-For`, `-Proto` and `-Host`, to which each proxy appends, the entry that the
    first of `hops` proxies wrote counts; what stands before it came from the client. With fewer entries than hops
    the request did not come through all of them, and the field is not believed."""

    def __init__(self, app: App, hops: int) -> None:
        self._app = app
        self._hops = hops

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in _SCHEMES:
            scope = self._as_seen_by_the_first_proxy(scope)
        await self._app(scope, receive, send)

    def _as_seen_by_the_first_proxy(self, scope: Scope) -> Scope:
        seen = dict(scope)
        if client := self._entry(scope, b"x-forwarded-for"):
            seen["quart_app.peer"] = scope.get("client")  # the other end of the connection, for who must find it
            seen["client"] = (client, 0)
        proto = self._entry(scope, b"x-forwarded-proto")
        if scheme := _SCHEMES[scope["type"]].get(proto.lower()):
            seen["scheme"] = scheme
        if host := self._entry(scope, b"x-forwarded-host"):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            seen["headers"] = [(b"host", host.encode("latin-1")), *others]
        return seen

    def _entry(self, scope: Scope, name: bytes) -> str:
        entries = [entry for field, value in scope["headers"] if field == name for entry in value.split(b",")]
        return entries[-self._hops].decode("latin-1").strip() if len(entries) >= self._hops else ""
