"""Who asks: the caller of a request or a WebSocket handshake, and what it may do."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
from typing import Any, Final

from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core.acts import LOCAL, OPERATOR, Actor
from quart_app.core.keys import SCOPES, Caller
from quart_app.web.door import Door
from quart_app.web.guard import fields
from quart_app.web.guesses import PAUSE, Guesses, peer_of
from quart_app.web.problems import Problem

OPEN: Final = ("/health", "/ready", "/docs", "/openapi.json")  # and what is below /docs: these ask for no key

# What proxies add to what they pass on: whoever has one of these may be anybody.
FORWARDING: Final = frozenset(
    {
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-host"),
        *(b"x-envoy-external-address", b"true-client-ip", b"cf-connecting-ip", b"fastly-client-ip", b"client-ip"),
    }
)

log = logging.getLogger("quart_app.keys")

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


def may_start(request: BaseRequestWebsocket, kind: str) -> bool:
    """Whether the caller may start tasks of this kind, for who would rather do without than refuse."""
    found = caller(request)
    return "write" in found.scopes and found.is_for(kind, "write")


def actor(request: BaseRequestWebsocket) -> Actor:
    """Who asks, for the audit log."""
    if name := caller(request).name:
        return Actor(f"key:{name}", peer_of(request.scope))
    if request.scope.get("quart_app.operator") is True:
        return Actor(OPERATOR)
    return Actor(LOCAL, peer_of(request.scope))


class _Held(Exception):
    """Too many wrong keys came from this peer."""


class Doorkeeper:
    """Lets in who has a key; everybody from this machine where there were never any."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._guesses = Guesses()
        self._told = False
        self._open = frozenset(door.prefix + path for path in OPEN)
        self._document = f"{door.prefix}/openapi.json"
        self._docs = f"{door.prefix}/docs/"

    async def admit(self, request: BaseRequestWebsocket) -> None:
        """Find the caller out, for `caller`, and check that it may read, or write, at all. Raises Problem 400, 401,
        403, 429, and Draining while there is no store to ask."""
        scope: Any = request.scope
        path = request.path
        if path == self._document:
            scope["quart_app.caller"] = self._if_known(request)
        elif path in self._open or path.startswith(self._docs):
            scope["quart_app.caller"] = _NOBODY
        else:
            try:
                scope["quart_app.caller"] = self._find(request)
            except _Held:
                await self._guesses.delay(peer_of(scope))
                header = {"Retry-After": f"{PAUSE:g}"}
                detail = "too many wrong keys came from here"
                raise Problem(429, "too-many-wrong-keys", "Too Many Requests", detail, header) from None
            require(request, _NEEDED.get(request.method, "write"))

    def _if_known(self, request: BaseRequestWebsocket) -> Caller:
        """The caller of what is open, and shows to each what he may use."""
        try:
            return self._find(request)
        except (Problem, _Held):
            return _NOBODY

    def _find(self, request: BaseRequestWebsocket) -> Caller:
        if request.scope.get("quart_app.operator") is True and _forwarded(request) is None:
            return _EVERYBODY
        keys = self._door.keys
        if not keys.exist:
            self._check_local(request)
            return _EVERYBODY
        key = _key(request)
        if key is None:
            raise _unauthorized("send a key: Authorization: Bearer KEY")
        peer = peer_of(request.scope)
        now = keys.now()
        found = keys.ring.find(key, now)
        if self._guesses.any and self._guesses.holds(peer) and not (found and keys.known_from(found.name, peer)):
            self._door.started.audit_log.refuse(peer, "", "")
            raise _Held
        if found is None:
            raise self._refused(key, peer)
        keys.used(found.name, peer, now)
        return found

    def _refused(self, key: bytes, peer: str) -> Problem:
        self._guesses.wrong(peer)
        expired = self._door.keys.ring.expired(key)
        name = expired.name if expired is not None else ""
        self._door.started.audit_log.refuse(peer, name, "expired" if name else "")
        return _unauthorized(f"this key of {name} is over" if name else "there is no such key")

    def _check_local(self, request: BaseRequestWebsocket) -> None:
        """Without keys only this machine may come in: over a loopback address of ours or a Unix socket, under a name
        that no other site can have, and not through a proxy, behind which is anybody."""
        settings = self._door.settings
        if settings.allow_anonymous:
            return
        if not _is_local(request.scope):
            detail = (
                "there are no keys, so only this machine may ask: make one with `python -m quart_app keys add NAME`, "
                "or set QUART_APP_API_KEYS, or QUART_APP_ALLOW_ANONYMOUS=1"
            )
            raise Problem(403, "no-keys", "Forbidden", detail)
        if (header := _forwarded(request)) is not None:
            self._tell_of_proxy(header)
            detail = (
                f"there are no keys, and this request came through a proxy (it has the field {header}), so anybody may "
                "have sent it: make a key with `python -m quart_app keys add NAME`, or set QUART_APP_API_KEYS, or "
                "QUART_APP_ALLOW_ANONYMOUS=1"
            )
            raise Problem(403, "forwarded", "Forbidden", detail)
        if not _names_this_machine(fields(request).get(b"host", b"")):
            # A page of another site whose name was made to point here (DNS rebinding) looks like our own in all else.
            detail = (
                "without keys only localhost is answered under its own name: behind a proxy make a key, or set "
                "QUART_APP_ALLOW_ANONYMOUS=1"
            )
            raise Problem(403, "foreign-host", "Forbidden", detail)

    def _tell_of_proxy(self, header: str) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "refused a request that came through a proxy (%s): without keys only this machine is served "
                "(`python -m quart_app keys add NAME` makes one); this line comes once",
                header,
            )


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", "Unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def _forwarded(request: BaseRequestWebsocket) -> str | None:
    """The field that says that a proxy passed this request on."""
    for name in fields(request):
        if name in FORWARDING or name.startswith(b"x-forwarded"):
            return name.decode("latin-1")[:100]
    return None


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
