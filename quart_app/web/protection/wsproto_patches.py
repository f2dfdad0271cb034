"""Changes what wsproto 1.2 and 1.3 do with WebSockets, under Hypercorn and uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final

import wsproto.connection
import wsproto.events
import wsproto.handshake
from wsproto.connection import ConnectionState

from quart_app.web.protection.connections import Connections
from quart_app.web.protection.patching import Patch

FRAMES: Final = 100  # a second and WebSocket, of those that reach no handler
SMALL: Final = 512  # bytes; a smaller piece of a message is counted, because clients can send larger ones
FLOOD: Final = 1008  # RFC 6455, 7.4.1


def patches(_: Connections) -> list[Patch]:
    return [
        Patch(wsproto.handshake, "server_extensions_handshake", accept_none, "takes any compression that is offered"),
        Patch(wsproto.handshake, "Connection", Connection, "no budget of frames that no handler hears of"),
    ]


def accept_none(requested: object, supported: object) -> None:
    """Accept no extension that the client asks for, so no compression (RFC 6455, 9.1). Hypercorn always offers
    permessage-deflate and checks the size of a message only after it is inflated: a frame of 194 KB became 229 MB of
    memory (measured). Clients of this service send nothing worth compressing."""


class Connection(wsproto.connection.Connection):
    """Counts the frames that end in the server, where no handler can count them: pings, pongs, small fragments. Each
    costs some 10 µs, and one read brings ten thousand of them. Too many are treated as the client's close."""

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
