"""Clients of `/ws/chat`: some talk, some stand still, some flood."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from tests.acceptance.harness import DEADLINE


class Chatter:
    """One client that is in the room after `join`. `heard`: what came; `code`: of the close, 1006 when there was none
    (RFC 6455, 7.1.5), None while it is open."""

    def __init__(self, port: int, small: bool = False) -> None:
        """`small`: with little room for what it has not read."""
        self._port = port
        self._small = small
        self._ws = WSConnection(ConnectionType.CLIENT)
        self.heard: list[str] = []
        self.code: int | None = None
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def join(self, reads: bool = True) -> Self:
        opened = socket.socket()
        opened.setblocking(False)
        if self._small:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", self._port))
        self._reader, self._writer = await asyncio.open_connection(sock=opened)
        self._writer.write(self._ws.send(Request(host=f"127.0.0.1:{self._port}", target="/ws/chat")))
        self._ws.receive_data(await self._reader.readuntil(b"\r\n\r\n"))
        (answer,) = self._ws.events()
        assert isinstance(answer, AcceptConnection), answer
        if reads:
            self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65536):
                self._ws.receive_data(data)
                for event in self._ws.events():
                    self._take(event)
                self._news.set()
        except OSError:
            pass
        finally:
            self.code = self.code or 1006
            self._news.set()
            self._writer.close()

    def _take(self, event: object) -> None:
        if isinstance(event, TextMessage):
            self.heard.append(event.data)
        elif isinstance(event, Ping):
            self._writer.write(self._ws.send(event.response()))
        elif isinstance(event, CloseConnection):
            self.code = event.code
            self._writer.write(self._ws.send(event.response()))

    async def say(self, text: str) -> None:
        self._writer.write(self._ws.send(TextMessage(text)))
        await self._writer.drain()

    async def hears(self, *texts: str) -> None:
        """Wait until it has heard all of these."""
        await self._until(lambda: set(texts) <= set(self.heard), f"hear {texts}")

    async def dropped(self) -> int:
        """The code of the close, once it has come."""
        await self._until(lambda: self.code is not None, "be dropped")
        assert self.code is not None
        return self.code

    async def _until(self, condition: object, what: str) -> None:
        assert callable(condition)
        try:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"a client waited {DEADLINE:g} s in vain to {what}; code {self.code}") from None

    async def go(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._reading is not None:
            await self._reading
