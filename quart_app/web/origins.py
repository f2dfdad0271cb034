"""Other sites' pages that QUART_APP_ALLOWED_ORIGINS lets in: what browsers need to be told (Fetch standard, CORS).

Our own: quart-cors cannot take part in the guard, which has to let a preflight through without a key.
"""

from __future__ import annotations

from typing import Final

from quart import Request, Response

from quart_app.web.door import this_request
from quart_app.web.guard import fields

METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
ASKED: Final = (
    "Authorization, X-API-Key, Content-Type, Idempotency-Key, Prefer, If-None-Match, Last-Event-ID, X-User-ID, "
    "traceparent, tracestate"
)
EXPOSED: Final = (
    "Location, ETag, Retry-After, Link, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, "
    "RateLimit-Reset, Idempotency-Replayed, Preference-Applied, WWW-Authenticate"
)
MAX_AGE: Final = "600"  # seconds for which a browser may remember a preflight


def preflight(request: Request, allowed: frozenset[bytes]) -> Response | None:
    """The answer to a browser that asks before it sends the request itself; None: it is no such question."""
    found = fields(request)
    if request.method != "OPTIONS" or b"access-control-request-method" not in found:
        return None
    if found.get(b"origin") not in allowed:
        return None
    response = Response(b"", 204)
    del response.headers["Content-Type"]
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = ASKED
    response.headers["Access-Control-Max-Age"] = MAX_AGE
    return response


def expose(response: Response, allowed: frozenset[bytes]) -> Response:
    """Let the page that asked read the answer. No credentials: keys travel in a header, never in a cookie."""
    origin = fields(this_request()).get(b"origin")
    response.vary.add("Origin")
    if origin in allowed:
        response.headers["Access-Control-Allow-Origin"] = origin.decode("ascii")
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response
