"""Quart made fit for this service: bodies are counted as they arrive, and what nobody uses costs nothing.

Quart 0.23 counts a body against MAX_CONTENT_LENGTH only when all of it is in memory; this counts as it arrives. What
is left out here was a seventh of the time that Quart takes for a request.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.routing import QuartMap, QuartRule
from quart.sessions import NullSession, SessionInterface
from quart.utils import encode_headers
from quart.wrappers.base import BaseRequestWebsocket
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter, RuleFactory

from quart_app.web.flight import SMALL, Flight, Share, share_of

AT_ONCE: Final = 65_536  # bytes of an answer that a server takes without waiting for the client
WINDOW: Final = 262_144  # bytes of a file that may wait in memory
FORM: Final = 65_536  # bytes of a form beside its file
MAX_KNOWN: Final = 1000  # ways that are remembered
MAX_WAY: Final = 200  # characters
_RULE: Final = {"return_rule": True}
_KNOWN: Final = ("GET", "POST")
_NO_PATH: Final = (
    b'{"type":"urn:quart-app:problem:invalid-input","title":"Invalid input","status":400,'
    b'"detail":"the target of the request is no path","error":"Invalid input"}'
)


class BoundedBody(Body):
    """`share`: what its request has of the memory for bodies."""

    def __init__(self, expected: int | None, limit: int | None, share: Share | None = None) -> None:
        super().__init__(expected, limit)
        self._arrived = 0
        self._expected = expected
        self._share = share
        self.complete = False
        """All of it has arrived, and nothing of it is left on the connection."""

    def set_complete(self) -> None:
        """Called by the connection; and by Quart's own `append` for a body that is too large, while it arrives."""
        self.complete = self._must_raise is None
        super().set_complete()

    async def put(self, data: bytes) -> None:
        """Called by Quart 0.23 for each piece."""
        if self._is_let_in(len(data)):
            await super().put(data)  # type: ignore[misc, unused-ignore]

    def append(self, data: bytes) -> None:
        """Called by Quart 0.22 for each piece."""
        if self._is_let_in(len(data)):
            super().append(data)

    def _is_let_in(self, size: int) -> bool:
        if self._must_raise is not None:
            return False
        self._arrived += size
        limit = self._max_content_length
        if limit is not None and self._arrived > limit:
            self._must_raise = RequestEntityTooLarge()
        elif self._share is not None and self._arrived > SMALL:
            self._must_raise = self._share.hold(self._expected or limit or self._arrived)
            self._share = None
        if self._must_raise is not None:
            self.set_complete()
        return self._must_raise is None


class Pace:
    """Keeps a file's body from arriving faster than it is written: without it all that has arrived waits in memory."""

    def __init__(self) -> None:
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self.over = False

    async def room(self) -> None:
        await self._room.wait()

    def came(self, size: int) -> None:
        self._waiting += size
        if self._waiting > WINDOW and not self.over:
            self._room.clear()

    def taken(self, size: int) -> None:
        self._waiting -= size
        if self._waiting <= WINDOW:
            self._room.set()

    def end(self) -> None:
        """Nobody reads on: what still comes is let in, and dropped."""
        self.over = True
        self._room.set()


class SiteRequest(Request):
    file_limit = 0
    file_paths: tuple[str, ...] = ()
    pace: Pace | None = None

    def body_class(self, expected: int | None, limit: int | None) -> BoundedBody:  # type: ignore[override]
        """Quart makes the body before the route is known; a form for a route that takes files has another limit."""
        if self.path in self.file_paths and self.headers.get("Content-Type", "").lower().startswith("multipart/"):
            self.pace = Pace()
            return BoundedBody(expected, self.file_limit)
        return BoundedBody(expected, limit, share_of(self.scope))

    # create_app has its hooks and error handlers on the app, none on a blueprint; Quart looks for the blueprints of a
    # request four times.
    blueprints: tuple[str, ...] = ()  # type: ignore[assignment]

    @property
    def content_length(self) -> int | None:
        """Werkzeug's makes, raises and catches an exception when there is no Transfer-Encoding."""
        length = next((value for name, value in self.scope["headers"] if name == b"content-length"), b"")
        return int(length) if length.isdigit() else None


class SiteConnection(ASGIHTTPConnection):
    """Lets the body of a file in at the pace at which it is read, and says so when an answer ends a connection."""

    def handle_messages(self, request: Any, receive: Any, *rest: Any) -> Any:
        pace = request.pace
        return super().handle_messages(request, receive if pace is None else _paced(receive, pace), *rest)

    async def handle_request(self, request: Any, send: Any) -> None:
        pace = request.pace
        if request.body.complete or (pace is None and not _announces_a_body(request.scope["headers"])):
            # Quart 0.23 answers what needs no body before it has looked for one. (HTTP/2 announces none, but paces it.)
            await super().handle_request(request, send)
            return

        async def answer(message: Any) -> None:
            # Nobody reads on. Hypercorn's last `send` waits for room in the queue that `receive` empties: as long as
            # that keeps a pace, the client sends and waits for ever.
            if pace is not None:
                pace.end()
            if message["type"] == "http.response.start" and not request.body.complete and request.http_version < "2":
                # The server ends the connection, and a client that was not told would send its next request there.
                message = {**message, "headers": closing(message["headers"])}
            await send(message)

        await super().handle_request(request, answer)

    async def _send_response(self, send: Any, response: Any) -> None:
        """Quart sends the body of an answer and then an empty piece, to end it."""
        body = response.response
        if type(body) is not DataBody or len(body.data) > AT_ONCE or getattr(self, "_disconnected", False):
            await super()._send_response(send, response)
            return
        headers = encode_headers(response.headers)
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": False})


def _announces_a_body(headers: Any) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


def closing(headers: Any) -> list[tuple[bytes, bytes]]:
    return [*(field for field in headers if field[0] != b"connection"), (b"connection", b"close")]


def _paced(receive: Any, pace: Pace) -> Any:
    async def when_there_is_room() -> dict[str, Any]:
        await pace.room()
        message: dict[str, Any] = await receive()
        if pace.over and message["type"] == "http.request":
            return {**message, "body": b""}
        pace.came(len(message.get("body", b"")))
        return message

    return when_there_is_room


class SiteRule(QuartRule):
    """Werkzeug writes and compiles two functions that build URLs of each rule. None is asked for here, so they are made
    when one is: that was half of the time that an app took to be made."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        made = cache(super()._compile_builder)

        def build(rule: SiteRule, **values: Any) -> tuple[str, str]:
            return made(append_unknown)(rule, **values)

        return build


class SiteMap(QuartMap):
    """One site: no route depends on the Host, so there is nothing to find out from it. What is posted goes to the same
    few places again and again, and who waits for a task asks for it again and again: the way there is remembered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.known: dict[tuple[str, str], tuple[Any, Any]] = {}
        super().__init__(*args, **kwargs)

    def add(self, rulefactory: RuleFactory) -> None:
        self.known.clear()
        super().add(rulefactory)

    def bind_to_request(
        self, request: BaseRequestWebsocket, subdomain: str | None, server_name: str | None
    ) -> MapAdapter:
        root, scheme, method = request.root_path, request.scheme, request.method
        return SiteAdapter(self, "localhost", root, "", scheme, request.path, method, "")


class SiteAdapter(MapAdapter):
    def match(self, *args: Any, **kwargs: Any) -> Any:
        """Quart asks once a request, for a rule and its arguments, and gives `return_rule` alone."""
        if args or kwargs != _RULE or self.websocket or self.default_method not in _KNOWN:
            return super().match(*args, **kwargs)
        known: dict[tuple[str, str], tuple[Any, Any]] = self.map.known  # type: ignore[attr-defined]
        way = (self.default_method, self.path_info)
        found = known.get(way)
        if found is None:
            found = super().match(**kwargs)
            if len(known) >= MAX_KNOWN:
                known.clear()
            if len(self.path_info) <= MAX_WAY:
                known[way] = found
        rule, values = found
        return rule, dict(values)


class NoSessions(SessionInterface):
    """There are no sessions, so opening one for each request is work for nothing."""

    _none = NullSession()

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:
        return self._none

    def is_null_session(self, instance: object) -> bool:
        return True


class Site(Quart):
    """The app of create_app. Its own 400 for a target that is no path: Quart raises before any handler of ours."""

    request_class = SiteRequest
    asgi_http_class = SiteConnection
    url_rule_class = SiteRule
    url_map_class = SiteMap
    session_interface = NoSessions()  # type: ignore[assignment]

    flight: Flight | None = None

    def take_files(self, limit: int, *paths: str) -> None:
        """These routes take a form with a file of up to `limit` bytes; all others have MAX_CONTENT_LENGTH."""

        class FileRequest(SiteRequest):
            file_limit = limit + FORM
            file_paths = paths

        self.request_class = FileRequest

    def ensure_async(self, func: Any) -> Any:
        """Asked for every hook and view of a request, and Quart's answer takes long for those that are async."""
        code = getattr(func, "__code__", None)
        if code is not None and code.co_flags & inspect.CO_COROUTINE:
            return func
        return super().ensure_async(func)

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        if self.flight is None or scope["type"] != "http" or scope.get("quart_app.operator") is True:
            await self._answer(scope, receive, send)
            return
        scope["quart_app.share"] = share = self.flight.begin()
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
            # Its body is not looked at: the connection ends.
            await send({"type": "http.response.start", "status": 400, "headers": closing(headers)})
            await send({"type": "http.response.body", "body": _NO_PATH})


def method_of(name: str) -> str:
    """Methods are case-sensitive (RFC 9110, 9.1), and Quart makes a POST of a `post`: that gets a name no route has."""
    return name if name == name.upper() else f"~{name}"


def _path_of(scope: Any) -> str | None:
    """The path to the letter, where servers and Werkzeug would make another one of it: an encoded slash is a part of a
    segment, and separates none (RFC 3986, 2.2), and of two slashes at the front neither is nothing. An absolute target
    has its path in it (RFC 9112, 3.2.2). None: the target has none."""
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
