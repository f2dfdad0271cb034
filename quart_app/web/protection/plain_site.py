"""The app of create_app as far as Quart's public API goes. quart_patches.py adds what needs more of Quart."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from quart import Quart

from quart_app.web.protection.requests_in_flight import RequestsInFlight

FORM: Final = 65_536  # bytes of a form in addition to its file
_NO_PATH: Final = (
    b'{"type":"urn:quart-app:problem:invalid-input","title":"Invalid input","status":400,'
    b'"detail":"the target of the request is no path","error":"Invalid input"}'
)


class PlainSite(Quart):
    """Counts the requests that are being answered, and passes on each path as it was sent. It answers 400 itself for a
    target that is no path: Quart raises before any handler."""

    in_flight: RequestsInFlight | None = None

    def take_files(self, limit: int, *paths: str) -> None:
        """These routes take a form with a file of up to `limit` bytes. Quart has one limit for all routes."""
        self.config["MAX_CONTENT_LENGTH"] = max(self.config["MAX_CONTENT_LENGTH"] or 0, limit + FORM)

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        if self.in_flight is None or scope["type"] != "http" or scope.get("quart_app.operator") is True:
            await self._answer(scope, receive, send)
            return
        scope["quart_app.share"] = share = self.in_flight.begin()
        try:
            await self._answer(scope, receive, send)
        finally:
            share.end()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().asgi_app(scope, receive, send)
            return
        if scope["type"] == "http":
            scope["method"] = method_of(scope["method"])
        path = _path_of(scope)
        if path is not None:
            scope["path"] = path
            await super().asgi_app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(_NO_PATH))]
            # The body is not read: the connection ends.
            await send({"type": "http.response.start", "status": 400, "headers": closing(headers)})
            await send({"type": "http.response.body", "body": _NO_PATH})


def closing(headers: Any) -> list[tuple[bytes, bytes]]:
    return [*(field for field in headers if field[0] != b"connection"), (b"connection", b"close")]


def method_of(name: str) -> str:
    """Methods are case-sensitive (RFC 9110, 9.1), but Quart turns `post` into POST. So it gets a name no route has."""
    return name if name == name.upper() else f"~{name}"


def _path_of(scope: Any) -> str | None:
    """The path as it was sent; servers and Werkzeug would change it. An encoded slash is a part of a segment and does
    not separate two (RFC 3986, 2.2), and two slashes at the front both count. An absolute target contains its path
    (RFC 9112, 3.2.2). None: the target has no path."""
    path: str = scope["path"]
    raw = scope.get("raw_path") or b""
    if b"%" in raw and len(parts := _ENCODED_SLASH.split(raw.partition(b"?")[0].decode("latin1"))) > 1:
        path = "%2F".join(map(unquote, parts))
    if not path.startswith("/"):
        try:
            path = urlsplit(path).path
        except ValueError:
            return None
        if not path.startswith("/"):
            return None
    return f"/%2F{path[2:]}" if path.startswith("//") else path


_ENCODED_SLASH: Final = re.compile("%2f", re.IGNORECASE)
