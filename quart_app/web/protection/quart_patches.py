"""Changes Quart for this service: it counts bodies as they arrive, and leaves out work that the service does not need.

Quart 0.23 counts a body against MAX_CONTENT_LENGTH only when all of it is in memory. The work left out was a seventh
of the time that Quart takes for a request.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, Final

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

from quart_app.web.protection.connections import Connections
from quart_app.web.protection.patching import Patch
from quart_app.web.protection.plain_site import FORM, PlainSite, closing
from quart_app.web.protection.requests_in_flight import SMALL, Share, share_of

AT_ONCE: Final = 65_536  # bytes of an answer that a server accepts without waiting for the client
WINDOW: Final = 262_144  # bytes of a file that may wait in memory
MAX_KNOWN: Final = 1000  # (method, path) pairs whose route is kept
MAX_WAY: Final = 200  # characters of such a path
# Parts of Quart 0.22 and 0.23 and of Werkzeug that the classes below extend. Each class says what it changes. Quart
# takes the classes as its own.
EXTENDED: Final = (
    Body,
    Request,
    ASGIHTTPConnection,
    QuartRule,
    QuartMap,
    MapAdapter,
    Quart.ensure_async,
    Quart.asgi_app,
)
_RULE: Final = {"return_rule": True}
_KNOWN: Final = ("GET", "POST")


class BoundedBody(Body):
    """A body whose size is checked as it arrives. `share`: the share of its request in the memory for bodies."""

    def __init__(self, expected: int | None, limit: int | None, share: Share | None = None) -> None:
        super().__init__(expected, limit)
        self._arrived = 0
        self._expected = expected
        self._share = share
        self.complete = False
        """All of the body has arrived, and none of it is left on the connection."""

    def set_complete(self) -> None:
        """Called by the connection, and by Quart's own `append` for a body that is too large, while it arrives."""
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
    """Keeps a file's body from arriving faster than it is written: else all that has arrived would wait in memory."""

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
        """The body is not read any more: bytes that still arrive are received and discarded."""
        self.over = True
        self._room.set()


class SiteRequest(Request):
    file_limit = 0
    file_paths: tuple[str, ...] = ()
    pace: Pace | None = None

    def body_class(self, expected: int | None, limit: int | None) -> BoundedBody:  # type: ignore[override]
        """Quart makes the body before it knows the route. A form for a route that takes files has another limit."""
        if self.path in self.file_paths and self.headers.get("Content-Type", "").lower().startswith("multipart/"):
            self.pace = Pace()
            return BoundedBody(expected, self.file_limit)
        return BoundedBody(expected, limit, share_of(self.scope))

    # create_app has its hooks and error handlers on the app, none on a blueprint; Quart looks for the blueprints of a
    # request four times.
    blueprints: tuple[str, ...] = ()  # type: ignore[assignment]

    @property
    def content_length(self) -> int | None:
        """Werkzeug's property raises and catches an exception when there is no Transfer-Encoding."""
        length = next((value for name, value in self.scope["headers"] if name == b"content-length"), b"")
        return int(length) if length.isdigit() else None


class SiteConnection(ASGIHTTPConnection):
    """Receives the body of a file at the pace at which it is read, and tells the client when an answer ends the
    connection."""

    def handle_messages(self, request: Any, receive: Any, *rest: Any) -> Any:
        pace = request.pace
        return super().handle_messages(request, receive if pace is None else _paced(receive, pace), *rest)

    async def handle_request(self, request: Any, send: Any) -> None:
        pace = request.pace
        if request.body.complete or (pace is None and not _announces_a_body(request.scope["headers"])):
            # Quart 0.23 may answer before it has looked for a body. (HTTP/2 announces none, but paces it.)
            await super().handle_request(request, send)
            return

        async def answer(message: Any) -> None:
            # The body is not read any more. Hypercorn's last `send` waits for room in the queue that `receive` empties.
            # While `receive` keeps a pace, the client would send and wait for ever.
            if pace is not None:
                pace.end()
            if message["type"] == "http.response.start" and not request.body.complete and request.http_version < "2":
                # The server ends the connection. Without this field the client would send its next request there.
                message = {**message, "headers": closing(message["headers"])}
            await send(message)

        await super().handle_request(request, answer)

    async def _send_response(self, send: Any, response: Any) -> None:
        """Send a small body in one piece. Quart sends the body and then an empty piece, to end it."""
        body = response.response
        if type(body) is not DataBody or len(body.data) > AT_ONCE or getattr(self, "_disconnected", False):
            await super()._send_response(send, response)
            return
        headers = encode_headers(response.headers)
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": False})


def _announces_a_body(headers: Any) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


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
    """Makes the functions that build URLs only when one is needed, which this service does not do. Werkzeug writes and
    compiles two of them for each rule, which was half of the time to make an app."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        made = cache(super()._compile_builder)

        def build(rule: SiteRule, **values: Any) -> tuple[str, str]:
            return made(append_unknown)(rule, **values)

        return build


class SiteMap(QuartMap):
    """The routes of one site: none depends on the Host, so the Host is not looked at. Clients post to the same few
    paths again and again, and ask for the same task again and again, so the routes found are kept."""

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
        """Quart calls this once a request, for a rule and its arguments, with `return_rule` as the only argument."""
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
    """The service has no sessions, so it need not open one for each request."""

    _none = NullSession()

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:
        return self._none

    def is_null_session(self, instance: object) -> bool:
        return True


class Site(PlainSite):
    request_class = SiteRequest
    asgi_http_class = SiteConnection
    url_rule_class = SiteRule  # type: ignore[assignment]
    url_map_class = SiteMap
    session_interface = NoSessions()  # type: ignore[assignment]

    def take_files(self, limit: int, *paths: str) -> None:
        """These routes take a form with a file of up to `limit` bytes; all others have MAX_CONTENT_LENGTH."""

        class FileRequest(SiteRequest):
            file_limit = limit + FORM
            file_paths = paths

        self.request_class = FileRequest

    def ensure_async(self, func: Any) -> Any:
        """Called for every hook and view of a request. Quart's own method takes long for async functions."""
        code = getattr(func, "__code__", None)
        if code is not None and code.co_flags & inspect.CO_COROUTINE:
            return func
        return super().ensure_async(func)


def patches(_: Connections) -> list[Patch]:
    """Nothing is replaced: Quart takes the classes of its app."""
    return []
