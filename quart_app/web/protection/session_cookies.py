"""The cookies of the pages: the token of a session, and what the forms of a page prove.

A page's forms carry a token that is made from a cookie, which another site can neither read nor set. Somebody who is
signed in has the cookie of the session for that, everybody else one of its own."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from quart import Response
from quart.wrappers.base import BaseRequestWebsocket

from quart_app.core.sessions import MAX_AGE
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.request_checks import fields

SESSION: Final = "quart_app_session"
FORMS: Final = "quart_app_forms"
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{43}")


def session_of(request: BaseRequestWebsocket) -> bytes | None:
    """The token of the session that the browser sends; None: it sends none."""
    return _cookie(request, SESSION)


def _cookie(request: BaseRequestWebsocket, name: str) -> bytes | None:
    """Read from the header itself, because `request.cookies` parses whatever other apps have set."""
    wanted = name.encode()
    # HTTP/2 may send each cookie as a field of its own; `fields` joins them with a comma.
    for pair in re.split(rb"[;,]", fields(request).get(b"cookie", b"")):
        found, _, value = pair.strip().partition(b"=")
        if found == wanted and _TOKEN.fullmatch(value):
            return value
    return None


class Proof:
    """What the forms of one answer carry: `token`."""

    def __init__(self, request: BaseRequestWebsocket, signed_in: bool) -> None:
        self._request = request
        self._new: str | None = None
        known = session_of(request) if signed_in else _cookie(request, FORMS)
        if known is None:
            self._new = secrets.token_urlsafe(32)
            known = self._new.encode()
        self.token = hashlib.sha256(b"form:" + known).hexdigest()

    def check(self, sent: str) -> None:
        """Raises Problem 403 when the form is not one of this browser's."""
        if self._new is not None or not hmac.compare_digest(self.token.encode(), sent.encode("utf-8", "replace")):
            detail = "this form is out of date, or it is not ours: open the page again, and send it once more"
            raise Problem(403, "old-form", "Forbidden", detail)

    def keep(self, response: Response, path: str) -> None:
        """Give the browser the cookie, if it has none. Lax: a link of another site must not make it a new one."""
        if self._new is not None:
            secure = self._request.scheme == "https"
            response.set_cookie(FORMS, self._new, path=path, secure=secure, httponly=True, samesite="Lax")


def sign_in(response: Response, request: BaseRequestWebsocket, token: str, path: str) -> None:
    secure = request.scheme == "https"
    response.set_cookie(
        SESSION, token, max_age=MAX_AGE // 1000, path=path, secure=secure, httponly=True, samesite="Strict"
    )


def sign_out(response: Response, request: BaseRequestWebsocket, path: str) -> None:
    secure = request.scheme == "https"
    response.delete_cookie(SESSION, path=path, secure=secure, httponly=True, samesite="Strict")
