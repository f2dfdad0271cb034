"""The events of one task over a WebSocket: the same rows, one JSON text a message."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import quart.wrappers
from quart import Blueprint, Websocket

from quart_app.core.errors import StoreUnavailable
from quart_app.web.app_state import AppState, this_websocket
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller
from quart_app.web.protection.patching import stop_listening
from quart_app.web.routes.events import AFTER, HEARTBEAT, at_end, enter, life

if TYPE_CHECKING:
    from quart_app.service.event_feed import Tail
    from quart_app.service.streams import OpenStream, Streams

MAX_MESSAGES: Final = 50  # a second; the server needs no messages, so this is for clients that send their own pings
MAX_BYTES: Final = 65_536  # a second
FAREWELL: Final = 10.0  # seconds that a client has to answer the server's close
FAREWELL_OF_FLOOD: Final = 1.0

# What reading and writing raise when the client has left, or when its server has ended the connection: errors of
# uvicorn, of the system, and of Quart 0.23.
GONE: Final[tuple[type[Exception], ...]] = (
    RuntimeError,
    OSError,
    getattr(quart.wrappers, "ClientDisconnectedError", OSError),
)

# Close codes: RFC 6455, 7.4.1, and 1012 of the IANA registry.
ENDED: Final = 1000
FLOOD: Final = 1008
COME_BACK: Final = 1012


class SocketViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_sockets", __name__)
        made.add_websocket("/ws/tasks/<task_id>", "of_task", self.of_task)
        return made

    async def of_task(self, task_id: str) -> None:
        """An error is answered before the handshake, as a problem document."""
        websocket = this_websocket()
        after = parse.query(websocket, AFTER).get("after", 0)
        task = await self._state.service.get(task_id, caller(websocket).sees)
        streams = self._state.started.streams
        stream = enter(self._state, websocket)
        tail = await self._state.started.feed.follow(task_id, after)
        at_end(tail.close)
        stream.ends_by(tail.stop)
        await websocket.accept()
        budget = SizeBudget(MAX_MESSAGES, MAX_BYTES, 1.0)
        reader = asyncio.create_task(_read(websocket, budget, tail))
        at_end(reader.cancel)
        try:
            code = ENDED if task.ended and await tail.over() else await _tell(websocket, tail, stream)
            if code == COME_BACK and stream.caller and self._state.keys.of(stream.caller) is None:
                code = FLOOD  # policy: a new connection would be refused
            await websocket.close(FLOOD if budget.exceeded else code)
        except GONE:
            pass  # about to be cancelled; if it returned before, Quart would close again, which servers refuse
        await see_off(streams, stream, FAREWELL_OF_FLOOD if budget.exceeded else FAREWELL)


async def _tell(websocket: Websocket, tail: Tail, stream: OpenStream) -> int:
    """Send the events as they come. Returns the code to close with."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + life()
    while not tail.stopped and not tail.ended and (left := ends - loop.time()) > 0:
        try:
            events = await tail.next(min(HEARTBEAT, left))
            if not events and not tail.stopped and await tail.over():
                return ENDED
        except StoreUnavailable:
            return COME_BACK
        for one in events:
            text = render.frame(one)
            stream.hands(len(text))
            await websocket.send(text)
            stream.resumes()
    return ENDED if tail.ended else COME_BACK


async def _read(websocket: Websocket, budget: SizeBudget, tail: Tail) -> None:
    """Read and discard what the client sends, because Quart keeps every message that is not read. A client that sends
    more than `budget` ends its stream."""
    with contextlib.suppress(*GONE):
        while True:
            budget.spend(await websocket.receive())
            if budget.exceeded:
                stop_listening(websocket)
                tail.stop()


class SizeBudget:
    """The limit of what a client may send: a number of messages, and `size` characters or bytes, in a time of
    `seconds`."""

    def __init__(self, messages: int, size: int, seconds: float) -> None:
        self._limits = messages, size
        self._seconds = seconds
        self._began = self._messages = self._size = 0.0
        self.exceeded = False

    def spend(self, message: str | bytes | None) -> None:
        """Count a message. `message`: as Quart gives it, which turns an empty binary message into None."""
        now = asyncio.get_running_loop().time()
        if now - self._began >= self._seconds:
            self._began, self._messages, self._size = now, 0, 0
        self._messages += 1
        self._size += len(message or "")
        self.exceeded |= self._messages > self._limits[0] or self._size > self._limits[1]


async def see_off(streams: Streams, stream: OpenStream, patience: float) -> None:
    """Wait after the server's close. A client that answers the close ends this task by leaving. For one that does not,
    the servers would wait and keep what it goes on sending. So its connection is cut after `patience` seconds, and this
    task keeps its reader alive until the server has noticed that."""
    await asyncio.sleep(patience)
    streams.cut(stream)
    await asyncio.sleep(FAREWELL)
