"""QUART_APP_TRUSTED_PROXIES: what the proxies before us say of the client.

Hypercorn's ProxyFixMiddleware would do for HTTP; but it calls the scheme of a WebSocket `https`, under which no
WebSocket route is found, and believes any text to be a scheme.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from quart_app.core.proxies import Trusted

Scope = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

_SCHEMES: Final = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


class TrustedProxies:
    """ASGI middleware. Of `X-Forwarded-For`, `-Proto` and `-Host`, to which each proxy appends, the entry counts that
    was written by the first of the proxies that are believed; what stands before it came from the client. With fewer
    entries than a number of proxies says the request did not come through all of them, and the field is not believed;
    nor is any that comes from a peer which is none of the proxies that are named."""

    def __init__(self, app: App, trusted: Trusted) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in _SCHEMES:
            scope = self._as_seen_by_the_first_proxy(scope)
        await self._app(scope, receive, send)

    def _as_seen_by_the_first_proxy(self, scope: Scope) -> Scope:
        peer = (scope.get("client") or ("",))[0] or ""
        forwarded = _entries(scope, b"x-forwarded-for")
        hops = self._trusted.count(peer, forwarded)
        if not hops:
            return scope
        seen = dict(scope)
        if client := _entry(forwarded, hops):
            seen["quart_app.peer"] = scope.get("client")  # the other end of the connection, for who must find it
            seen["client"] = (client, 0)
        # Named proxies may replace what the one before them said instead of appending to it.
        least = 1 if not self._trusted.hops else hops
        proto, host = (
            _entry(found, max(min(hops, len(found)), least))
            for found in (_entries(scope, b"x-forwarded-proto"), _entries(scope, b"x-forwarded-host"))
        )
        if scheme := _SCHEMES[scope["type"]].get(proto.lower()):
            seen["scheme"] = scheme
        if host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            seen["headers"] = [(b"host", host.encode("latin-1")), *others]
        return seen


def _entries(scope: Scope, name: bytes) -> list[str]:
    return [
        entry.decode("latin-1").strip()
        for field, value in scope["headers"]
        if field == name
        for entry in value.split(b",")
    ]


def _entry(entries: list[str], hops: int) -> str:
    return entries[-hops] if len(entries) >= hops else ""
