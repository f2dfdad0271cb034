"""What is refused before a view runs: requests that two servers could read differently, and other sites' requests."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from quart import Request

from quart_app.web.problems import Problem

MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16_384
_UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def check(request: Request) -> None:
    """Raises Problem 400, 403 or 431."""
    headers = request.scope["headers"]
    size = 0
    length = encoding = False
    for name, value in headers:
        size += len(name) + len(value)
        length = length or name == b"content-length"
        encoding = encoding or name == b"transfer-encoding"
    if length and encoding:
        # RFC 9112, 6.3: the two together are how requests are smuggled past a proxy.
        close = {"Connection": "close"}
        raise Problem(400, "smuggling", "Bad Request", "Content-Length and Transfer-Encoding exclude each other", close)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise Problem(431, "headers-too-large", "Request Header Fields Too Large", headers={"Connection": "close"})
    if request.method in _UNSAFE and from_other_site(request):
        raise Problem(403, "cross-site", "Forbidden", "another site may not change anything here")


def from_other_site(request: Request) -> bool:
    """A browser says that another site's page caused this request (Fetch Metadata, or an Origin that is not ours)."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def may_start_work(request: Request) -> bool:
    """GET routes of the examples start tasks: only for a person's own GET, never for HEAD, prefetch or another site."""
    if request.method != "GET" or from_other_site(request):
        return False
    purpose = request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", "") + request.headers.get("X-Moz", "")
    return "prefetch" not in purpose.lower() and "preview" not in purpose.lower()
