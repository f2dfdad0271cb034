"""HTTP/2 of Hypercorn, where an operator has it on (`alpn_protocols`, with TLS), made so that it loses no requests.

Three of them end or stop a whole connection, and with it the requests of others that a proxy has put on it: a body that
goes on after its answer, a handler that ends before it has read its body, and a client that takes nothing.
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
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent

from quart_app.web import stall

_ANSWER: Final = (Body, Data, EndBody, EndData)


def install(websockets: type[WSStream]) -> None:
    """`websockets`: what takes the place of Hypercorn's own stream, as it does in HTTP/1."""
    for where, name, ours in (
        (hypercorn.protocol, "H2Protocol", Protocol),
        (hypercorn.protocol.h2, "HTTPStream", Stream),
        (hypercorn.protocol.h2, "WSStream", websockets),
    ):
        setattr(where, name, ours)


class Protocol(H2Protocol):
    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The rest of a body whose answer was sent: the client may go on, nobody reads it (RFC 9113, 8.1).
                # Hypercorn's own raises KeyError, which ends the connection.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self._flush()
            else:
                await super()._handle_events([event])

    async def stream_send(self, event: Event) -> None:
        """A client that leaves its window shut is not seen in what a transport has to send, which is nothing."""
        if not isinstance(event, _ANSWER):
            await super().stream_send(event)
            return
        try:
            async with asyncio.timeout(stall.PATIENCE):
                await super().stream_send(event)
        except TimeoutError:
            await self.handle(Closed())
            await self.send(Closed())


class Stream(HTTPStream):
    """Hypercorn's own waits for ever for room in the queue of a handler that has ended, and nobody reads the
    connection meanwhile."""

    _queue: asyncio.Queue[ASGIReceiveEvent]
    _ended = False

    async def handle(self, event: Event) -> None:
        await super().handle(event)
        if isinstance(event, Request) and not self.closed:
            self._queue, self.app_put = self.app_put.__self__, self._put  # type: ignore[attr-defined]

    async def _put(self, event: ASGIReceiveEvent) -> None:
        if not self._ended or event["type"] == "http.disconnect":  # Quart 0.23 waits for that one to its end
            await self._queue.put(event)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is None or (message["type"] == "http.response.body" and not message.get("more_body", False)):
            self._end()
        await super().app_send(message)

    def _end(self) -> None:
        """Nobody reads the body on: whoever waits for room in the queue goes on."""
        self._ended = True
        left = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for event in left:
            if event["type"] == "http.disconnect":
                self._queue.put_nowait(event)
