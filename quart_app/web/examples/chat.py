"""`/chat` and `/ws/chat`: each message goes to all clients, in the same order, and no client can delay the others.

Only the writer of a client waits for that client. A client that does not read is dropped when too many messages wait
for it. A client that sends too much is dropped at once. The room as a whole accepts messages no faster than they can
be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response, Websocket

from quart_app.web.app_state import AppState, this_request, this_websocket
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import require
from quart_app.web.protection.patching import stop_listening
from quart_app.web.routes.events import at_end, enter
from quart_app.web.routes.websockets import COME_BACK, FAREWELL, FAREWELL_OF_FLOOD, FLOOD, GONE, SizeBudget, see_off

if TYPE_CHECKING:
    from quart_app.service.streams import OpenStream

MAX_BYTES: Final = 4096  # of one message
BURST: Final = 40  # messages, and 64 KiB, of one client in two seconds
MAX_UNHEARD: Final = 256  # messages that wait for one client
LOOP_TURNS: Final = 3  # turns of the event loop until a message is written: a writer wakes, yields in Quart, writes

# Close codes: RFC 6455, 7.4.1, and 1013 of the IANA registry.
NO_TEXT: Final = 1003
TOO_LARGE: Final = 1009
TOO_SLOW: Final = 1013

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without characters that break a line, control a terminal or change the direction of text: with them a
    message could look like one of another client."""
    return _CONTROL.sub("\ufffd", text)


class ChatViews:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._room = Room()

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_chat", __name__)
        made.add_url_rule("/chat", "show", self.show)
        made.add_websocket("/ws/chat", "talk", self.talk)
        return made

    async def show(self) -> Response:
        request = this_request()
        parse.query(request, {})
        scheme = "wss" if request.scheme == "https" else "ws"
        place = f"{scheme}://{request.host}{self._state.prefix}/ws/chat"
        shown = {"active_connections": len(self._room), "websocket_url": place}
        return render.answer(shown, headers={"Cache-Control": "no-store"})

    async def talk(self) -> None:
        """Serve one client, from its handshake until it has gone. An error is answered before the handshake."""
        websocket = this_websocket()
        parse.query(websocket, {})
        require(websocket, "write")
        streams, draining = self._state.started.streams, self._state.started.draining
        stream = enter(self._state, websocket)
        await websocket.accept()
        member = self._room.join(draining)
        at_end(lambda: self._room.leave(member))
        stream.ends_by(lambda: member.dismiss(FLOOD))  # its key is no longer valid
        reader = asyncio.create_task(self._listen(websocket, member))
        writer = asyncio.create_task(_tell(websocket, member, stream))
        at_end(reader.cancel)
        at_end(writer.cancel)
        await member.dismissed.wait()
        self._room.leave(member)
        done, _ = await asyncio.wait([writer], timeout=FAREWELL_OF_FLOOD)
        if not done:  # it has not even read what was sent: no close would reach it
            streams.cut(stream)
        await see_off(streams, stream, FAREWELL if member.code == COME_BACK else FAREWELL_OF_FLOOD)

    async def _listen(self, websocket: Websocket, member: Member) -> None:
        """Read until the client has gone, because Quart keeps messages that are not read."""
        budget = SizeBudget(BURST, 65_536, 2.0)
        with contextlib.suppress(*GONE):
            while True:
                message = await websocket.receive()
                budget.spend(message)
                if budget.exceeded:
                    stop_listening(websocket)
                    member.dismiss(FLOOD)
                elif not isinstance(message, str):
                    member.dismiss(NO_TEXT)
                elif len(message.encode()) > MAX_BYTES:
                    member.dismiss(TOO_LARGE)
                else:
                    self._room.say(member, f"Message: {clean(message)}")


async def _tell(websocket: Websocket, member: Member, stream: OpenStream) -> None:
    """Write to this client, until the close. Only this task does."""
    with contextlib.suppress(*GONE):
        while not member.dismissed.is_set():
            if not member.unheard:
                member.bell.clear()
                await member.bell.wait()
                continue
            text = member.unheard.popleft()
            stream.hands(len(text))
            await websocket.send(text)
            stream.resumes()
        await websocket.close(member.code)


class Member:
    """One client in the room: its messages that are not passed on yet, the messages that wait for it, and the close
    code with which it must go."""

    def __init__(self) -> None:
        self.unsaid: deque[str] = deque()
        self.unheard: deque[str] = deque()
        self.bell = asyncio.Event()
        self.dismissed = asyncio.Event()
        self.code = 0

    def hear(self, text: str) -> None:
        if len(self.unheard) >= MAX_UNHEARD:
            self.dismiss(TOO_SLOW)
        elif not self.dismissed.is_set():
            self.unheard.append(text)
            self.bell.set()

    def dismiss(self, code: int) -> None:
        if not self.dismissed.is_set():
            self.code = code
            self.unsaid.clear()
            self.unheard.clear()
            self.dismissed.set()
            self.bell.set()


class Room:
    """Passes on the messages one after the other: first those of clients that sent nothing lately, then, in turn, those
    of clients with further messages."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._fresh: deque[Member] = deque()
        self._again: deque[Member] = deque()
        self._wake_up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._members)

    def join(self, draining: asyncio.Event) -> Member:
        """Add a client. `draining`: when it is set, all clients must go and come back later."""
        if not self._members:
            self._tasks = [asyncio.create_task(self._pass_on()), asyncio.create_task(self._close(draining))]
        member = Member()
        self._members[member] = None
        return member

    def leave(self, member: Member) -> None:
        """Remove a member and its messages that are not passed on yet. May be called twice."""
        member.unsaid.clear()
        if self._members.pop(member, member) is None and not self._members:
            for task in self._tasks:
                task.cancel()
            self._fresh.clear()  # no client is left for the last messages
            self._again.clear()

    def say(self, member: Member, text: str) -> None:
        if member.dismissed.is_set():
            return
        if len(member.unsaid) >= BURST:
            member.dismiss(FLOOD)
            return
        if not member.unsaid:
            self._fresh.append(member)
        member.unsaid.append(text)
        self._wake_up.set()

    async def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not (waiting := self._fresh or self._again):
                self._wake_up.clear()
                await self._wake_up.wait()
            speaker = waiting.popleft()
            if not speaker.unsaid:  # it was dismissed
                continue
            text = speaker.unsaid.popleft()
            if speaker.unsaid:
                self._again.append(speaker)
            began = loop.time()
            for member in self._members:
                member.hear(text)
            for _ in range(LOOP_TURNS):
                await asyncio.sleep(0)
            # And half of that time for all other work of this process.
            await asyncio.sleep((loop.time() - began) / 2)

    async def _close(self, draining: asyncio.Event) -> None:
        await draining.wait()
        for member in self._members:
            member.dismiss(COME_BACK)
