"""QUART_APP_TRUSTED_PROXIES: reads what the proxies before the server say about the client.

Hypercorn's ProxyFixMiddleware is enough for HTTP. But it sets the scheme of a WebSocket to `https`, under which no
WebSocket route is found, and accepts any text as a scheme.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from quart_app.core.trusted_proxies import Trusted, address

Scope = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]

_SCHEMES: Final = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


class TrustedProxies:
    """ASGI middleware. Each proxy appends an entry to `X-Forwarded-For`, `-Proto` and `-Host`. The entry that the first
    trusted proxy wrote counts; the entries before it came from the client. When a field has fewer entries than the
    setting has proxies, the request did not come through all of them, and the field is ignored. It is also ignored
    when the peer is none of the proxies that the setting names."""

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
            seen["quart_app.peer"] = scope.get("client")  # the peer of the connection, by which it can be cut
            found = address(client)  # some proxies add the port, which differs for each request
            seen["client"] = (client if found is None else str(found), 0)
        # Named proxies may replace the entry of the proxy before them instead of appending one.
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
