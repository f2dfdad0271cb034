"""`/chat` and `/ws/chat`: what one client says, all hear, in the same order; and nobody can hold up the others.

Nothing here waits for a client but that client's own writer. Who does not read is dropped when too much waits for it,
who says too much is dropped at once, and the room as a whole goes no faster than it can be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response, Websocket

from quart_app.web import parse, render
from quart_app.web.auth import require
from quart_app.web.door import Door, this_request, this_websocket
from quart_app.web.sockets import COME_BACK, FAREWELL, FAREWELL_OF_FLOOD, FLOOD, GONE, Budget, see_off
from quart_app.web.streams import at_end, enter
from quart_app.web.wire import stop_listening

if TYPE_CHECKING:
    from quart_app.services.streams import OpenStream

MAX_BYTES: Final = 4096  # of one message
BURST: Final = 40  # messages, and 64 KiB, of one client in two seconds
MAX_UNHEARD: Final = 256  # messages that wait for one client
LOOP_TURNS: Final = 3  # of the event loop until a message has been written: a writer wakes, yields in Quart, writes

# Close codes: RFC 6455, 7.4.1, and 1013 of the IANA registry.
NO_TEXT: Final = 1003
TOO_LARGE: Final = 1009
TOO_SLOW: Final = 1013

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Without what could break a line, or steer a terminal or the direction of text, and so look like a message of
    somebody else."""
    return _CONTROL.sub("\ufffd", text)


class ChatViews:
    def __init__(self, door: Door) -> None:
        self._door = door
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
        place = f"{scheme}://{request.host}{self._door.prefix}/ws/chat"
        shown = {"active_connections": len(self._room), "websocket_url": place}
        return render.answer(shown, headers={"Cache-Control": "no-store"})

    async def talk(self) -> None:
        """One client, from its handshake until it has gone. What is wrong is said before the handshake."""
        websocket = this_websocket()
        parse.query(websocket, {})
        require(websocket, "write")
        streams, draining = self._door.started.streams, self._door.started.draining
        stream = enter(self._door, websocket)
        await websocket.accept()
        member = self._room.join(draining)
        at_end(lambda: self._room.leave(member))
        stream.ends_by(lambda: member.dismiss(FLOOD))  # its key opens nothing any more
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
        """Goes on until the client has gone, for somebody must read what it sends."""
        budget = Budget(BURST, 65_536, 2.0)
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
    """The one who writes to this client, until the close."""
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
    """One client in the room: what it has to say, what it has yet to hear, and why it must go."""

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
    """Passes on what is said, one message after the other: first of those who have said nothing lately, then, in turn,
    of those who have more to say."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._fresh: deque[Member] = deque()
        self._again: deque[Member] = deque()
        self._bell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._members)

    def join(self, draining: asyncio.Event) -> Member:
        """`draining`: when it is set, all must go and come back later."""
        if not self._members:
            self._tasks = [asyncio.create_task(self._pass_on()), asyncio.create_task(self._close(draining))]
        member = Member()
        self._members[member] = None
        return member

    def leave(self, member: Member) -> None:
        """What the member has not said yet goes with it. May be called twice."""
        member.unsaid.clear()
        if self._members.pop(member, member) is None and not self._members:
            for task in self._tasks:
                task.cancel()
            self._fresh.clear()  # nobody is left to hear what was said last
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
        self._bell.set()

    async def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not (waiting := self._fresh or self._again):
                self._bell.clear()
                await self._bell.wait()
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
            # And half as long for everything else that this process does.
            await asyncio.sleep((loop.time() - began) / 2)

    async def _close(self, draining: asyncio.Event) -> None:
        await draining.wait()
        for member in self._members:
            member.dismiss(COME_BACK)
