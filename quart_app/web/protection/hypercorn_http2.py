"""Changes HTTP/2 of Hypercorn 0.18, where it is on (`alpn_protocols`, with TLS), so that it loses no requests.

Three requests end or stop a whole connection, and with it the requests of other clients that a proxy has put on it: a
body that continues after its answer, a handler that ends before it has read its body, and a client that reads nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h2.events
import hypercorn.protocol
import hypercorn.protocol.h2
from hypercorn.events import Closed
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Event, Request
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent

from quart_app.web.protection import slow_clients
from quart_app.web.protection.connections import Connections
from quart_app.web.protection.hypercorn_patches import Stream as WebSocketStream
from quart_app.web.protection.patching import Patch

_ANSWER: Final = (Body, Data, EndBody, EndData)


def patches(_: Connections) -> list[Patch]:
    where = hypercorn.protocol.h2
    return [
        Patch(hypercorn.protocol, "H2Protocol", Protocol, "ends a connection for a body that goes on after its answer"),
        Patch(where, "HTTPStream", Stream, "waits for ever for room in the queue of a handler that has ended"),
        Patch(where, "WSStream", WebSocketStream, "the same as in HTTP/1"),
    ]


class Protocol(H2Protocol):
    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The rest of a body whose answer was sent: the client may go on, and it is not read (RFC 9113, 8.1).
                # Hypercorn's own method raises KeyError, which ends the connection.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self._flush()
            else:
                await super()._handle_events([event])

    async def stream_send(self, event: Event) -> None:
        """Send with a time limit. A client that keeps its window closed cannot be detected by the unsent bytes of the
        transport, because there are none."""
        if not isinstance(event, _ANSWER):
            await super().stream_send(event)
            return
        try:
            async with asyncio.timeout(slow_clients.PATIENCE):
                await super().stream_send(event)
        except TimeoutError:
            await self.handle(Closed())
            await self.send(Closed())


class Stream(HTTPStream):
    """Hypercorn's own class waits for ever for room in the queue of a handler that has ended, and does not read the
    connection meanwhile."""

    _queue: asyncio.Queue[ASGIReceiveEvent]
    _ended = False

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(event, Request) and not self.closed:
            self._queue, self.app_put = self.app_put.__self__, self._put  # type: ignore[attr-defined]

    async def _put(self, event: ASGIReceiveEvent) -> None:
        if not self._ended or event["type"] == "http.disconnect":  # Quart 0.23 waits for that one
            await self._queue.put(event)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is None or (message["type"] == "http.response.body" and not message.get("more_body", False)):
            self._end()
        await super().app_send(message)

    def _end(self) -> None:
        """The body is not read any more. Empty the queue, so that a call that waits for room in it continues."""
        self._ended = True
        left = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for event in left:
            if event["type"] == "http.disconnect":
                self._queue.put_nowait(event)
