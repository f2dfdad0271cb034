"""Who asks: the caller of a request or a WebSocket handshake, and what it may do."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Any, Final

from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core.keys import SCOPES, Caller
from quart_app.web.door import Door
from quart_app.web.guard import fields
from quart_app.web.problems import Problem

OPEN: Final = ("/health", "/ready", "/docs", "/openapi.json")  # and what is below /docs: these ask for no key

_EVERYBODY: Final = Caller("", frozenset(SCOPES))
_NOBODY: Final = Caller("", frozenset())
_PORT: Final = re.compile(rb":[0-9]*\Z")
_NEEDED: Final = {"GET": "read", "HEAD": "read", "OPTIONS": "read"}


def caller(request: BaseRequestWebsocket) -> Caller:
    """The caller that the guard has found out."""
    found: Caller = request.scope["quart_app.caller"]  # type: ignore[typeddict-item]
    return found


def require(request: BaseRequestWebsocket, scope: str) -> None:
    """Raises Problem 403 when the caller has no such scope."""
    if scope not in caller(request).scopes:
        header = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}  # RFC 6750, 3.1
        raise Problem(403, "insufficient-scope", "Forbidden", f"this needs a key with the scope {scope}", header)


class Doorkeeper:
    """Lets in who has a key; everybody from this machine where there are none."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open = frozenset(door.prefix + path for path in OPEN)
        self._docs = f"{door.prefix}/docs/"

    def admit(self, request: BaseRequestWebsocket) -> None:
        """Find the caller out, for `caller`, and check that it may read, or write, at all. Raises Problem 400, 401,
        403, and Draining while there is no store to ask."""
        scope: Any = request.scope
        path = request.path
        if path in self._open or path.startswith(self._docs):
            scope["quart_app.caller"] = _NOBODY
        else:
            scope["quart_app.caller"] = self._find(request)
            require(request, _NEEDED.get(request.method, "write"))

    def _find(self, request: BaseRequestWebsocket) -> Caller:
        if request.scope.get("quart_app.operator") is True:
            return _EVERYBODY
        ring = self._door.keys.ring
        if not ring:
            self._check_local(request)
            return _EVERYBODY
        key = _key(request)
        found = ring.find(key) if key is not None else None
        if found is None:
            detail = "there is no such key" if key is not None else "send a key: Authorization: Bearer KEY"
            raise Problem(401, "unauthorized", "Unauthorized", detail, {"WWW-Authenticate": "Bearer"})
        return found

    def _check_local(self, request: BaseRequestWebsocket) -> None:
        """Without keys only this machine may come in: over a loopback address of ours or a Unix socket, and under a
        name that no other site can have."""
        settings = self._door.settings
        if settings.allow_anonymous:
            return
        if not _is_local(request.scope):
            detail = (
                "there are no keys, so only this machine may ask: make one with `python -m quart_app keys add NAME`, "
                "or set QUART_APP_API_KEYS, or QUART_APP_ALLOW_ANONYMOUS=1"
            )
            raise Problem(403, "no-keys", "Forbidden", detail)
        if not _names_this_machine(fields(request).get(b"host", b"")):
            # A page of another site whose name was made to point here (DNS rebinding) looks like our own in all else.
            detail = (
                "without keys only localhost is answered under its own name: behind a proxy make a key, or set "
                "QUART_APP_ALLOW_ANONYMOUS=1"
            )
            raise Problem(403, "foreign-host", "Forbidden", detail)


@functools.lru_cache(maxsize=256)
def _names_this_machine(host: bytes) -> bool:
    name = host.decode("latin-1").rpartition(":")[0] if _PORT.search(host) else host.decode("latin-1")
    name = name.strip("[]").lower().rstrip(".")
    return name in ("", "localhost") or name.endswith(".localhost") or _is_loopback(name)


def _is_local(scope: Any) -> bool:
    """The connection's own end is a loopback address or a Unix socket."""
    server = scope.get("server")
    if server is None:
        return scope.get("client") is None  # how Hypercorn shows a Unix socket
    return server[1] is None or _is_loopback(server[0])  # ASGI: (path, None) is a Unix socket


@functools.lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _key(request: BaseRequestWebsocket) -> bytes | None:
    """The key that is shown, as bytes; None: none. Never one of the query, which ends up in logs and histories."""
    found = fields(request)
    key = found.get(b"x-api-key")
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":  # RFC 9110, 11.1: the scheme's case does not matter
        return key
    token = token.strip()
    if key is not None and key != token:
        raise Problem(400, "two-keys", "Bad Request", "Authorization and X-API-Key carry different keys")
    return token
