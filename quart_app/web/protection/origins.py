"""The header fields that let browsers show answers to other sites in QUART_APP_ALLOWED_ORIGINS (Fetch standard, CORS).

quart-cors is not used: it cannot take part in the request hooks, which must answer a preflight without a key.
"""

from __future__ import annotations

from typing import Final

from quart import Request, Response

from quart_app.web.app_state import this_request
from quart_app.web.protection.request_checks import fields

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
    """The answer to a preflight, which a browser sends before the request itself; None: the request is no preflight, or
    its origin is not allowed."""
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
    """Let the page that sent the request read the answer. Credentials are not allowed: keys are sent in a header, never
    in a cookie."""
    origin = fields(this_request()).get(b"origin")
    response.vary.add("Origin")
    if origin in allowed:
        response.headers["Access-Control-Allow-Origin"] = origin.decode("ascii")
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response
