"""Finds the caller of a request or a WebSocket handshake, and checks what it may do."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
from typing import Any, Final

from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core.audit_acts import LOCAL, OF_KEY, OPERATOR, Actor
from quart_app.core.keys import SCOPES, Caller
from quart_app.web.app_state import AppState
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.request_checks import fields
from quart_app.web.protection.wrong_keys import PAUSE, WrongKeys, peer_of

OPEN: Final = ("/health", "/ready", "/docs", "/openapi.json")  # and all below /docs: these need no key

# Fields that proxies add to a request. A request with one of them may come from any client.
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
    """The caller that `Authenticator.admit` has found."""
    found: Caller = request.scope["quart_app.caller"]  # type: ignore[typeddict-item]
    return found


def name_or_peer(request: BaseRequestWebsocket) -> str:
    """The name by which callers are counted: that of the key; without a key the address of the client."""
    client = request.scope.get("client")
    return caller(request).name or (client[0] if client else "")


def require(request: BaseRequestWebsocket, scope: str) -> None:
    """Raises Problem 403 when the caller has no such scope."""
    if scope not in caller(request).scopes:
        header = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}  # RFC 6750, 3.1
        raise Problem(403, "insufficient-scope", "Forbidden", f"this needs a key with the scope {scope}", header)


def may_start(request: BaseRequestWebsocket, kind: str) -> bool:
    """Whether the caller may start tasks of this kind, for views that answer without a task when it may not."""
    found = caller(request)
    return "write" in found.scopes and found.is_for(kind, "write")


def actor(request: BaseRequestWebsocket) -> Actor:
    """The caller as the audit log records it."""
    if name := caller(request).name:
        return Actor(f"{OF_KEY}{name}", peer_of(request.scope))
    if request.scope.get("quart_app.operator") is True:
        return Actor(OPERATOR)
    return Actor(LOCAL, peer_of(request.scope))


class _Held(Exception):
    """Too many wrong keys came from this peer."""


class Authenticator:
    """Admits callers with a key. While no key was ever made, it admits all callers from this machine."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._wrong_keys = WrongKeys()
        self._told = False
        self._open = frozenset(state.prefix + path for path in OPEN)
        self._document = f"{state.prefix}/openapi.json"
        self._docs = f"{state.prefix}/docs/"

    async def admit(self, request: BaseRequestWebsocket) -> None:
        """Find the caller, which `caller` then returns, and check that it may read, or write, at all. Raises Problem
        400, 401, 403, 429, and Draining while no store is open."""
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
                await self._wrong_keys.delay(peer_of(scope))
                header = {"Retry-After": f"{PAUSE:g}"}
                detail = "too many wrong keys came from here"
                raise Problem(429, "too-many-wrong-keys", "Too Many Requests", detail, header) from None
            scope["quart_app.authenticator"] = self
            require(request, _NEEDED.get(request.method, "write"))

    def confirm(self, request: BaseRequestWebsocket) -> None:
        """Check the key again, after a wait that the client can prolong. Raises Problem 401 when the key is no longer
        valid, and as `admit`."""
        before = caller(request)
        try:
            found = self._find(request)
        except _Held:
            found = _NOBODY
        if found != before:
            raise _unauthorized("the key ended while the request came")

    def _if_known(self, request: BaseRequestWebsocket) -> Caller:
        """The caller of a route that needs no key but shows each caller what it may use."""
        try:
            return self._find(request)
        except (Problem, _Held):
            return _NOBODY

    def _find(self, request: BaseRequestWebsocket) -> Caller:
        if request.scope.get("quart_app.operator") is True and _forwarded(request) is None:
            return _EVERYBODY
        keys = self._state.keys
        if not keys.exist:
            self._check_local(request)
            return _EVERYBODY
        key = _key(request)
        if key is None:
            raise _unauthorized("send a key: Authorization: Bearer KEY")
        peer = peer_of(request.scope)
        now = keys.now()
        found = keys.ring.find(key, now)
        if self._wrong_keys.any and self._wrong_keys.holds(peer) and not (found and keys.known_from(found.name, peer)):
            self._state.started.audit_log.refuse(peer, "", "")
            raise _Held
        if found is None:
            raise self._refused(key, peer)
        keys.used(found.name, peer, now)
        return found

    def _refused(self, key: bytes, peer: str) -> Problem:
        self._wrong_keys.wrong(peer)
        expired = self._state.keys.ring.expired(key)
        name = expired.name if expired is not None else ""
        self._state.started.audit_log.refuse(peer, name, "expired" if name else "")
        return _unauthorized(f"this key of {name} is over" if name else "there is no such key")

    def _check_local(self, request: BaseRequestWebsocket) -> None:
        """Without keys only this machine is served: over its own loopback address or a Unix socket, under a host name
        that no other site can have, and not through a proxy, which may serve any client. Raises Problem 403."""
        settings = self._state.settings
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
            # A page of another site whose name points here (DNS rebinding) looks like our own in all other ways.
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
    """The name of the field that shows that a proxy passed this request on; None: there is none."""
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
    """Whether the server's end of the connection is a loopback address or a Unix socket."""
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
    """The key that the request sends, as bytes; None: it sends none. A key in the query is ignored, because queries end
    up in logs and histories. Raises Problem 400 for two different keys."""
    found = fields(request)
    key = found.get(b"x-api-key")
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer":  # RFC 9110, 11.1: the scheme's case does not matter
        return key
    token = token.strip()
    if key is not None and key != token:
        raise Problem(400, "two-keys", "Bad Request", "Authorization and X-API-Key carry different keys")
    return token
