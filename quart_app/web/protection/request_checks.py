"""Refuses, before a view runs, requests that two servers could read differently, and requests of other sites."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from quart import Request
from quart.wrappers.base import BaseRequestWebsocket

from quart_app.web.messages.problems import Problem

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16_384
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]{0,5})?")
_UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def check(request: BaseRequestWebsocket) -> None:
    """Raises Problem 400, 403 or 431."""
    found = fields(request)
    if b"content-length" in found and b"transfer-encoding" in found:
        # RFC 9112, 6.3: with both, a request can be smuggled past a proxy.
        close = {"Connection": "close"}
        raise Problem(400, "smuggling", "Bad Request", "Content-Length and Transfer-Encoding exclude each other", close)
    if not _HOST.fullmatch(found.get(b"host", b"")):
        raise Problem(400, "no-host", "Bad Request", "the Host field names no host")  # RFC 9112, 3.2
    if request.method in _UNSAFE and from_other_site(request):
        raise Problem(403, "cross-site", "Forbidden", "another site may not change anything here")


def check_handshake(handshake: BaseRequestWebsocket) -> None:
    """Refuse the handshake of another site, because a browser lets any page open a WebSocket anywhere. Refuse one with
    a cookie and no Origin, too: no browser sends that. Raises Problem 400, 403 or 431."""
    check(handshake)
    found = fields(handshake)
    if from_other_site(handshake) or (b"cookie" in found and b"origin" not in found):
        raise Problem(403, "cross-site", "Forbidden", "another site may not open a WebSocket here")


def fields(request: BaseRequestWebsocket) -> dict[bytes, bytes]:
    """The header fields by lower-case name, read once a request (each look-up in `request.headers` walks them all).
    A repeated field is joined with a comma (RFC 9110, 5.3). Raises Problem 431."""
    found: dict[bytes, bytes] | None = request.scope.get("quart_app.fields")  # type: ignore[assignment]
    if found is not None:
        return found
    found = {}
    size = count = 0
    for name, value in request.scope["headers"]:
        size += len(name) + len(value)
        count += 1
        found[name] = found[name] + b", " + value if name in found else value
    if count > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise Problem(431, "headers-too-large", "Request Header Fields Too Large", headers={"Connection": "close"})
    request.scope["quart_app.fields"] = found  # type: ignore[typeddict-unknown-key]
    return found


def field(request: BaseRequestWebsocket, name: bytes) -> str | None:
    """One header field as text."""
    value = fields(request).get(name)
    return value.decode("latin-1") if value is not None else None


def let_in(request: BaseRequestWebsocket, allowed: frozenset[bytes]) -> None:
    """From now on these origins do not count as another site for this request."""
    scope: Any = request.scope
    scope["quart_app.allowed_origins"] = allowed


def from_other_site(request: BaseRequestWebsocket) -> bool:
    """Whether a browser says that a page of another site caused this request (by Fetch Metadata, or an Origin that is
    not ours), and QUART_APP_ALLOWED_ORIGINS does not name that site."""
    found = fields(request)
    origin = found.get(b"origin")
    allowed: Any = request.scope.get("quart_app.allowed_origins", ())
    if origin is not None and origin in allowed:
        return False
    if found.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin.decode("latin-1")).netloc != request.host
    except ValueError:
        return True


def refuse_unasked(request: Request) -> None:
    """Raises Problem 403 unless `may_start_work`."""
    if not may_start_work(request):
        detail = "only a GET of your own starts something: no HEAD, no prefetch, no other site's link"
        raise Problem(403, "cross-site", "Forbidden", detail)


def may_start_work(request: Request) -> bool:
    """Whether a GET route of the examples may start a task: only for a user's own GET, never for HEAD, a prefetch or
    another site."""
    if request.method != "GET" or from_other_site(request):
        return False
    found = fields(request)
    purpose = b"".join(found.get(name, b"") for name in (b"sec-purpose", b"purpose", b"x-moz")).lower()
    return b"prefetch" not in purpose and b"preview" not in purpose
