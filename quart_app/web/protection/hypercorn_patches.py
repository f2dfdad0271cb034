"""Changes what Hypercorn 0.18 does with connections and has no setting for.

`tests/hostile` and `tests/acceptance` fail when these changes do not work with a new version.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
import wsproto.events
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Data, Request
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11WSConnection
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, H11SendableEvent

from quart_app.web.protection import wsproto_patches
from quart_app.web.protection.connections import Connections, Place
from quart_app.web.protection.h11_reading import Http1
from quart_app.web.protection.listeners import listeners
from quart_app.web.protection.patching import DEAF, Patch
from quart_app.web.protection.plain_site import method_of
from quart_app.web.protection.slow_clients import GOODBYE, SlowClient, stopping, unsent

HIGH_WATER: Final = 65_536  # bytes that a transport takes before its writers wait: asyncio's default, and uvicorn's
_SAID: Final = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)
_worker_serve: Final = hypercorn.asyncio.run.worker_serve


def patches(connections: Connections) -> list[Patch]:
    _Server.places = connections
    run, stream = hypercorn.asyncio.run, hypercorn.protocol.ws_stream
    return [
        Patch(stream, "server_extensions_handshake", wsproto_patches.accept_none, "inflates a message before it looks"),
        Patch(stream, "Connection", wsproto_patches.Connection, "no budget of frames that no handler hears of"),
        Patch(hypercorn.protocol.h11, "WSStream", Stream, "sleeps on, and waits for room in a queue, after the end"),
        Patch(hypercorn.protocol, "H11Protocol", _Protocol, "HTTP/2 without TLS; waits for ever in a pipeline"),
        Patch(run, "TCPServer", _Server, "no ceiling of connections, no end for a client that takes nothing"),
        Patch(run, "worker_serve", _serve, "accepts as many connections as wait, all at once"),
    ]


async def _serve(app: Any, config: Any, *, sockets: Any = None, shutdown_trigger: Any = None) -> None:
    """Replace the sockets under the `hypercorn` command, which makes them before it imports the app."""
    if sockets is not None:
        given = (listeners(sockets.secure_sockets), listeners(sockets.insecure_sockets), sockets.quic_sockets)
        sockets = type(sockets)(*given)
    await _worker_serve(app, config, sockets=sockets, shutdown_trigger=shutdown_trigger)


class _Protocol(hypercorn.protocol.h11.H11Protocol):
    """Serves HTTP/1 only. Hypercorn's own class also serves HTTP/2 without TLS to any client that asks for it, whatever
    `alpn_protocols` says, and there it has no time limit and no budget of frames."""

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
        """The connection ends, and the requests left in it get no answer. Hypercorn's own code waits for ever for
        them."""
        if isinstance(self.connection, h11.Connection):
            self.connection = H11WSConnection(self.connection)  # it has no next request

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Drop an answer to a request that the server has already answered (its body was no HTTP). h11 would raise, and
        the log would get a traceback for a client's mistake."""
        inner = self.connection.h11_connection if isinstance(self.connection, H11WSConnection) else self.connection
        if inner.our_state not in _SAID:
            await super()._send_h11_event(event)

    async def _create_stream(self, request: h11.Request) -> None:
        """Keep the case of the method (RFC 9110, 9.1): Hypercorn turns `post` into POST."""
        method = method_of(request.method.decode("ascii")).encode()
        if method != request.method:
            request = h11.Request(
                method=method, target=request.target, headers=request.headers.raw_items(), http_version=b"1.1"
            )
        await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Ignore an `Upgrade: h2c` (RFC 9110, 7.8), and refuse the preface of HTTP/2 (RFC 9113, 3.4)."""
        if not event.http_version.startswith(b"1."):
            raise _AnotherVersion


class _AnotherVersion(Exception):
    pass


class _Server(TCPServer):
    """A connection that counts against the ceiling of connections, and ends when its client does not read the answer
    that it requested, and when its client has gone."""

    places: ClassVar[Connections]
    _place: Place | None = None
    _stall: SlowClient | None = None
    _gone = False  # the client has sent its last byte

    async def run(self) -> None:
        self._place = self.places.enter(self.writer.transport)
        if self._place is None:
            return
        try:
            await super().run()
        finally:
            self.places.leave(self._place)

    async def _read_data(self) -> None:
        """Wait no longer for the next request of a client that has gone. Hypercorn's own method does, for
        `keep_alive_timeout`, and keeps the descriptor as long."""
        await super()._read_data()
        self._gone = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            self._watch(len(event.data), HIGH_WATER)
        elif isinstance(event, Updated) and self._gone:
            return  # else it would begin to wait again
        elif isinstance(event, Updated) and self._place is not None:
            (self.places.idle if event.idle else self.places.busy)(self._place)
        await super().protocol_send(event)

    async def _close(self) -> None:
        self._part()
        try:
            await super()._close()
        except OSError:
            pass  # TLS: the client sent more after the server's close, or did not answer it in 30 seconds

    async def _initiate_server_close(self) -> None:
        self._part()
        await super()._initiate_server_close()

    def _part(self) -> None:
        self._watch(0, 0)
        if stopping() and self.config.ssl_enabled:
            # TLS ends with a message of each side. asyncio waits 30 seconds for it, and the stop would wait, too.
            self.loop.call_later(GOODBYE, self.writer.transport.abort)

    def _watch(self, more: int, limit: int) -> None:
        """Watch the client if more than `limit` bytes wait, because then the server waits, too."""
        stall = self._stall
        if stall is None or stall.over:
            transport = self.writer.transport
            if more + unsent(transport) <= limit:
                return
            stall = self._stall = SlowClient(transport)
        stall.more(more)


class _Deaf(Exception):
    """Raised to skip the rest of the messages that were read at once."""


class Stream(hypercorn.protocol.ws_stream.WSStream):
    """Ends with its connection. Hypercorn's own class goes on sleeping between two pings when its connection has ended.
    Until it wakes, the descriptor stays open, and a server that stops waits for it: 20 and 5 seconds (measured). And
    when a handler ends while its client is still sending, it waits for ever for room in the queue of that handler."""

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
        return self._ended or DEAF in self.scope

    async def _put(self, event: ASGIReceiveEvent) -> None:
        """Put an event into the queue of the handler. It is discarded after `stop_listening` and when the handler has
        ended. Raises _Deaf for a discarded message."""
        if event["type"] == "websocket.receive" and self._deaf:
            raise _Deaf
        if not self._ended:
            await self._queue.put(event)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is None:
            self._ended = True
            while not self._queue.empty():  # so that a call that waits for room in it continues
                self._queue.get_nowait()
        await super().app_send(message)

    async def _send_pings(self) -> None:
        interval = self.config.websocket_ping_interval
        assert interval is not None  # else this is not called
        self._pinger = asyncio.current_task()
        while not self.closed:
            await self._send_wsproto_event(wsproto.events.Ping())
            if not self.closed:  # the ping may have found that the client has gone
                await self.context.sleep(interval)
