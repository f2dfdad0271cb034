"""What servers do with connections and have no setting for, done otherwise.

All of it is replaced when the routes are made: that is before any server accepts a connection, also under the bare
`hypercorn` command. `tests/hostile` and `tests/acceptance` notice when a new version of a server makes it untrue.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Generator
from typing import Any, ClassVar, Final

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
import wsproto.connection
import wsproto.events
import wsproto.handshake
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Data, Request
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11WSConnection
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, H11SendableEvent
from quart import Websocket
from wsproto.connection import ConnectionState

from quart_app.web import http2
from quart_app.web.accepting import listeners
from quart_app.web.connections import Connections, Place
from quart_app.web.site import method_of
from quart_app.web.stall import GOODBYE, Stall, stopping, unsent

HIGH_WATER: Final = 65_536  # bytes that a transport takes before its writers wait: asyncio's default, and uvicorn's
FRAMES: Final = 100  # a second and WebSocket, of those that no handler hears of
SMALL: Final = 512  # bytes: pieces of a message are as large as the client can send them, or are counted
FLOOD: Final = 1008  # RFC 6455, 7.4.1
_DEAF: Final = "quart_app.deaf"
_worker_serve: Final = hypercorn.asyncio.run.worker_serve


def install(connections: Connections) -> None:
    _Server.places = connections
    for module in (hypercorn.protocol.ws_stream, wsproto.handshake):
        _replace(module, server_extensions_handshake=_accept_none, Connection=_Connection)
    _replace(hypercorn.protocol.h11, WSStream=_Stream)
    _replace(hypercorn.protocol, H11Protocol=_Protocol)
    _replace(hypercorn.asyncio.run, TCPServer=_Server, worker_serve=_serve)
    http2.install(_Stream)
    if "uvicorn" in sys.modules:
        flow = importlib.import_module("uvicorn.protocols.http.flow_control").FlowControl
        if not hasattr(flow, "drains"):
            _replace(flow, drains=flow.drain, drain=_drain)
        if importlib.util.find_spec("httptools"):
            importlib.import_module("quart_app.web.uvicorn_wire").install(connections)
        server = importlib.import_module("uvicorn.protocols.http.h11_impl").H11Protocol
        if not hasattr(server, "opens"):
            _replace(server, opens=server.connection_made, connection_made=_open)


async def _serve(app: Any, config: Any, *, sockets: Any = None, shutdown_trigger: Any = None) -> None:
    """Under the `hypercorn` command, which has made its sockets before it imports the app."""
    if sockets is not None:
        given = (listeners(sockets.secure_sockets), listeners(sockets.insecure_sockets), sockets.quic_sockets)
        sockets = type(sockets)(*given)
    await _worker_serve(app, config, sockets=sockets, shutdown_trigger=shutdown_trigger)


class Http1(h11.Connection):
    """Passes over what comes behind a request that closes its connection (RFC 9112, 9.6), be it a line end (2.2) or
    another request. h11's own takes it for an error of the peer, and servers then answer 400 in the place of the
    answer that the request is about to get."""

    def receive_data(self, data: bytes) -> None:
        if self.their_state not in _LAST:
            super().receive_data(data)

    def next_event(self) -> Any:
        return h11.NEED_DATA if self.their_state in _LAST else super().next_event()


_LAST: Final = (h11.MUST_CLOSE, h11.CLOSED)
_SAID: Final = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


def _replace(where: object, **names: object) -> None:
    for name, value in names.items():
        setattr(where, name, value)


def stop_listening(websocket: Websocket) -> None:
    """From now on throw away what this client sends, unread, where the server is Hypercorn. It takes 0.1 ms to bring
    one message of a flood as far as a handler, and 9,000 fit into what is read at once."""
    scope: Any = websocket.scope
    scope[_DEAF] = True


def _accept_none(requested: object, supported: object) -> None:
    """No compression: a client asks for extensions and gets none (RFC 6455, 9.1). Hypercorn always offers
    permessage-deflate and looks at the size of a message when it is inflated: a frame of 194 KB became 229 MB of memory
    (measured). Clients of this service send nothing worth compressing."""


class _Protocol(hypercorn.protocol.h11.H11Protocol):
    """HTTP/1 and nothing else. Hypercorn's own also speaks HTTP/2 to whoever asks for it without TLS, whatever
    `alpn_protocols` says, and has no time limit and no budget of frames there."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection = Http1(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except _AnotherVersion:
            await self._send_error_response(400)
            await self.send(Closed())
        if isinstance(event, Closed):
            self._leave_pipeline()
            await self.can_read.set()

    async def _maybe_recycle(self) -> None:
        done = self.connection.our_state is h11.DONE and self.connection.their_state is h11.DONE
        if self.context.terminated.is_set() or not done:
            self._leave_pipeline()
        await super()._maybe_recycle()

    def _leave_pipeline(self) -> None:
        """The connection ends: nobody answers what is left in it. Hypercorn's own would wait for ever for that."""
        if isinstance(self.connection, h11.Connection):
            self.connection = H11WSConnection(self.connection)  # which has no next request

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """An answer to a request that was answered by the server (its body was no HTTP) is one for nobody; h11 would
        raise, and the log hold a traceback for a client's mistake."""
        inner = self.connection.h11_connection if isinstance(self.connection, H11WSConnection) else self.connection
        if inner.our_state not in _SAID:
            await super()._send_h11_event(event)

    async def _create_stream(self, request: h11.Request) -> None:
        """Methods are case-sensitive (RFC 9110, 9.1), and Hypercorn makes a POST of a `post`."""
        method = method_of(request.method.decode("ascii")).encode()
        if method != request.method:
            request = h11.Request(
                method=method, target=request.target, headers=request.headers.raw_items(), http_version=b"1.1"
            )
        await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        """An `Upgrade: h2c` is passed over (RFC 9110, 7.8), the preface of HTTP/2 (RFC 9113, 3.4) is refused."""
        if not event.http_version.startswith(b"1."):
            raise _AnotherVersion


class _AnotherVersion(Exception):
    pass


class _Server(TCPServer):
    """A connection that has a place among those that there may be, and is ended when its client does not take what it
    asked for."""

    places: ClassVar[Connections]
    _place: Place | None = None
    _stall: Stall | None = None

    async def run(self) -> None:
        self._place = self.places.enter(self.writer.transport)
        if self._place is None:
            return
        try:
            await super().run()
        finally:
            self.places.leave(self._place)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            self._watch(len(event.data), HIGH_WATER)
        elif isinstance(event, Updated) and self._place is not None:
            (self.places.idle if event.idle else self.places.busy)(self._place)
        await super().protocol_send(event)

    async def _close(self) -> None:
        self._part()
        try:
            await super()._close()
        except OSError:
            pass  # TLS: the client went on after the goodbye, or said none in 30 seconds

    async def _initiate_server_close(self) -> None:
        self._part()
        await super()._initiate_server_close()

    def _part(self) -> None:
        self._watch(0, 0)
        if stopping() and self.config.ssl_enabled:
            # TLS ends with a word of either side, for which asyncio waits 30 seconds, and the stop with it.
            self.loop.call_later(GOODBYE, self.writer.transport.abort)

    def _watch(self, more: int, limit: int) -> None:
        """Watch it if more than `limit` bytes wait, so that the server waits too."""
        stall = self._stall
        if stall is None or stall.over:
            transport = self.writer.transport
            if more + unsent(transport) <= limit:
                return
            stall = self._stall = Stall(transport)
        stall.more(more)


def _open(protocol: Any, transport: Any) -> None:
    """uvicorn's connection passes over what follows a close, too."""
    protocol.conn = Http1(h11.SERVER, protocol.config.h11_max_incomplete_event_size or 16_384)
    protocol.opens(transport)


async def _drain(flow: Any) -> None:
    """The same for uvicorn."""
    stall = Stall(flow._transport)
    try:
        await flow.drains()
    finally:
        stall.stop()


class _Connection(wsproto.connection.Connection):
    """Counts the frames that end in the server, so that no handler can count them: pings, pongs, small fragments. Each
    costs some 10 µs, and one read brings ten thousand of them. Too many are taken for the client's close."""

    _second = 0.0
    _frames = 0

    def events(self) -> Generator[wsproto.events.Event, None, None]:
        for event in super().events():
            if self._exceeded_by(event):
                closing = self.state is ConnectionState.LOCAL_CLOSING
                self._state = ConnectionState.CLOSED if closing else ConnectionState.REMOTE_CLOSING
                yield wsproto.events.CloseConnection(code=FLOOD, reason="too many frames")
                return
            yield event

    def _exceeded_by(self, event: wsproto.events.Event) -> bool:
        if self.client or isinstance(event, wsproto.events.CloseConnection):
            return False
        if isinstance(event, wsproto.events.Message) and (event.message_finished or len(event.data) >= SMALL):
            return False
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += 1
        return self._frames > FRAMES


class _Deaf(Exception):
    """Leads out of the messages that were read at once."""


class _Stream(hypercorn.protocol.ws_stream.WSStream):
    """Hypercorn's own goes on sleeping between two pings when its connection has ended. Until it wakes the descriptor
    stays open, and a server that stops waits for it: 20 and 5 seconds (measured). And when a handler ends while its
    client is still sending, it waits for ever for room in the queue of that handler."""

    _pinger: asyncio.Task[Any] | None = None
    _queue: asyncio.Queue[ASGIReceiveEvent]
    _ended = False

    async def handle(self, event: StreamEvent) -> None:
        if isinstance(event, Body | Data) and self._deaf:
            return
        try:
            await super().handle(event)
        except _Deaf:
            pass
        if isinstance(event, Request) and self.app_put is not None:
            self._queue, self.app_put = self.app_put.__self__, self._put  # type: ignore[attr-defined]
        if self.closed and self._pinger is not None and self._pinger is not asyncio.current_task():
            self._pinger.cancel()

    @property
    def _deaf(self) -> bool:
        return self._ended or _DEAF in self.scope

    async def _put(self, event: ASGIReceiveEvent) -> None:
        """An event for the handler."""
        if event["type"] == "websocket.receive" and self._deaf:
            raise _Deaf
        if not self._ended:
            await self._queue.put(event)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is None:
            self._ended = True
            while not self._queue.empty():  # and whoever waits for room in it goes on
                self._queue.get_nowait()
        await super().app_send(message)

    async def _send_pings(self) -> None:
        interval = self.config.websocket_ping_interval
        assert interval is not None  # else nobody calls this
        self._pinger = asyncio.current_task()
        while not self.closed:
            await self._send_wsproto_event(wsproto.events.Ping())
            if not self.closed:  # it was the ping that found out that the client has gone
                await self.context.sleep(interval)
