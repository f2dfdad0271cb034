"""Changes what uvicorn 0.54 has no setting for, as hypercorn_patches.py does, so that both servers behave the same.

uvicorn limits neither the time nor the size of a head, makes a request of each head of a pipeline at once, treats the
trailers of a body as fields of its request, reads the body after an `Upgrade` that it does not know as the next
request, and tells only one request of a pipeline that the client has gone.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import httptools
import uvicorn.server
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from quart_app.web.protection.connections import Connections, Place
from quart_app.web.protection.patching import Patch
from quart_app.web.protection.slow_clients import GOODBYE, SlowClient, unsent

MAX_HEAD: Final = 16_384  # bytes before a head is whole, and between two pieces of a body
PIECE: Final = 4_096  # bytes that are parsed at once: only the requests that fit into them wait in memory
MAX_MESSAGE: Final = 65_536  # bytes of a WebSocket's message


_starts: Final = uvicorn.server.Server.startup
EXTENDED: Final = (HttpToolsProtocol, WSProtocol)  # `_startup` replaces them with our own classes


def patches(connections: Connections) -> list[Patch]:
    """uvicorn chooses its classes before it imports the app, and makes the first object of them after its start."""
    Protocol.places = connections
    return [
        Patch(httptools_impl, "RequestResponseCycle", Cycle, "two calls of the system for an answer"),
        Patch(uvicorn.server.Server, "startup", _startup, "has no setting for the classes below"),
    ]


async def _startup(server: Any, sockets: Any = None) -> None:
    config = server.config
    if config.http_protocol_class is HttpToolsProtocol:
        config.http_protocol_class = Protocol
    if config.http_protocol_class is Protocol and config.ws_protocol_class is WSProtocol:
        config.ws_protocol_class = Socket
        config.ws_per_message_deflate = False
        config.ws_max_size = min(config.ws_max_size, MAX_MESSAGE)
    await _starts(server, sockets)


class _Refused(Exception):
    """Raised to leave the parser."""

    def __init__(self, status: int) -> None:
        self.status = status


class Protocol(HttpToolsProtocol):
    """`cycle`, uvicorn's attribute, is the request that came last; `_running` is the one that the app answers."""

    places: ClassVar[Connections]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place: Place | None = None
        self._stall: SlowClient | None = None
        self._running: RequestResponseCycle | None = None
        self._held = bytearray()  # bytes that came after a request that waits for another
        self._head, self._hosts = True, 0  # the parser is before the end of a head
        self._progress = False
        self._quiet = 0  # bytes since the last whole head or piece of a body
        self._over = False  # nothing is read any more
        self._behind = 0  # the status for the bytes after the requests that are still to be answered

    # --- the connection

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._place = self.places.enter(transport)
        if self._place is None:
            self._over = True
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._held.clear()
        self._unset_keepalive_if_required()
        if self._place is not None:
            self.places.leave(self._place)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        self._watch()
        super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        if self.scheme == "https":  # TLS ends with a message of each side, for which asyncio waits 30 seconds
            self.loop.call_later(self.config.timeout_graceful_shutdown or GOODBYE, self.transport.abort)
        if self._running is None or self._running.response_complete:
            self._over = True
            self._watch()
            self.transport.close()
        else:
            self._running.keep_alive = False

    def _watch(self) -> None:
        """Watch for a client that does not read what is unsent."""
        if unsent(self.transport) and (self._stall is None or self._stall.over):
            self._stall = SlowClient(self.transport)

    # --- receiving

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if not self._held and not self.pipeline and len(data) <= PIECE:
            self._feed(data)
        else:
            self._held += data
            self._feed_held()

    def _feed_held(self) -> None:
        while self._held and not self.pipeline and not self._over:
            piece = bytes(self._held[:PIECE])
            del self._held[:PIECE]
            self._feed(piece)
        if self._held:
            self.flow.pause_reading()

    def _feed(self, data: bytes) -> None:
        self._progress = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._become_a_websocket()
            else:
                self._pass_over_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Refused) else 400)
            return
        self._quiet = 0 if self._progress else self._quiet + len(data)
        if self._quiet > MAX_HEAD:
            self._refuse(431 if self._head else 400)

    def _become_a_websocket(self) -> None:
        self.handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if isinstance(socket, Socket):
            socket.place, self._place = self._place, None

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Ignore an `Upgrade` to another protocol: the request is one of HTTP/1 (RFC 9110, 7.8). The parser takes its
        body for the other protocol, so it gets the head again without the field."""
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection":
                words = [word.strip() for word in value.split(b",")]
                head += [b"\r\nconnection: ", b", ".join(word for word in words if word.lower() != b"upgrade")]
            elif name != b"upgrade":
                head += [b"\r\n", name, b": ", value]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"".join([*head, b"\r\n\r\n", rest]))

    def _refuse(self, status: int) -> None:
        """The bytes are no HTTP: send an empty answer in their place, and end the connection."""
        self._over = True
        self._held.clear()
        last, running = self.cycle, self._running
        if last is not None and last.more_body:  # it was the body of this one
            if last is not running:
                self.pipeline.popleft()
                self._behind = status
            elif running.response_started:
                self.transport.close()
            else:
                running.disconnected = True
                running.message_event.set()
                self._end_with(status)
        elif running is None or running.response_complete:
            self._end_with(status)
        else:
            self._behind = status

    def _end_with(self, status: int) -> None:
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    # --- called by the parser

    def on_message_begin(self) -> None:
        self._head = True
        self._hosts = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head:  # a trailer, which no view reads
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise _Refused(501)
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head = False
        self._progress = True
        self._unset_keepalive_if_required()
        if len(self.url) > MAX_HEAD:
            raise _Refused(414)
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0") or b"#" in self.url or self.parser.get_method() == b"CONNECT":
            raise _Refused(400)
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise _Refused(400)  # RFC 9112, 3.2
        if self._place is not None:
            self.places.busy(self._place)
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        if self.parser.should_upgrade():
            return
        self.cycle.more_body = False
        super().on_message_complete()

    # --- answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._stall is not None:
            self._stall.stop()
        super()._start_asgi_task(cycle, _Ended(cycle, app))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self._held and not self.pipeline:
            self._feed_held()
        if self._running is not None and not self._running.response_complete:
            return  # the app answers the next one
        if self._behind:
            self._end_with(self._behind)
        elif self._place is not None:
            self.places.idle(self._place)
        self._watch()


class Cycle(RequestResponseCycle):
    """Writes the head of an answer together with the beginning of its body, when that follows at once: a second system
    call costs a tenth of the request."""

    async def send(self, message: Any) -> None:
        if self.response_started or message["type"] != "http.response.start" or self.scope["method"] == "HEAD":
            await super().send(message)
            return
        transport = self.transport
        self.transport = held = _Held(transport)  # type: ignore[assignment]
        try:
            await super().send(message)
        finally:
            self.transport = transport
        if self.chunked_encoding is False and not self.disconnected:
            self.transport = _Joining(held.data, self, transport)  # type: ignore[assignment]
        elif held.data:
            transport.write(held.data)


class _Held:
    __slots__ = ("_transport", "data")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Joining:
    """The transport of a request until something is written."""

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, head: bytes, cycle: Cycle, transport: Any) -> None:
        self._head = head
        self._cycle = cycle
        self._transport = transport

    def write(self, data: bytes) -> None:
        self._cycle.transport = self._transport
        self._transport.write(self._head + data)

    def close(self) -> None:
        self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Ended:
    """Calls the app. When the server cancels its request at a stop, the connection ends, without a traceback."""

    __slots__ = ("_app", "_cycle")

    def __init__(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._cycle = cycle
        self._app = app

    async def __call__(self, *channels: Any) -> Any:
        try:
            return await self._app(*channels)
        except asyncio.CancelledError:
            self._cycle.disconnected = True
            self._cycle.transport.abort()
            return None


class Socket(WSProtocol):
    place: Place | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.place is not None:
            Protocol.places.leave(self.place)
        super().connection_lost(exc)
