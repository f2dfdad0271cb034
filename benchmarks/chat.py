"""200 clients of the chat at once: some talk, some stand still, some flood, some come and go. How long it takes until
those who talk have heard one another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Self

from benchmarks.harness import Figure, Scale, percentile, serve

TALKING, STALLED, FLOODING, PASSING = 80, 40, 40, 40
SECONDS = 20
PAUSE = 0.1  # seconds between two messages of those who talk

_HANDSHAKE = (
    "GET /ws/chat HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_LEFT = (OSError, asyncio.IncompleteReadError)


def run(scale: Scale) -> list[Figure]:
    with serve(scale.folder, {}) as server:
        delays = asyncio.run(_crowd(server.port, scale.of(SECONDS, 1)))
    others = f"{STALLED} stand still, {FLOODING} flood, {PASSING} come and go"
    note = f"{TALKING} talk, {others}; {len(delays):,} messages heard"
    return [
        Figure("from a word to everybody's ear in a chat of 200, worst", max(delays), "ms", 1000, False, note),
        Figure("the same, p99", percentile(delays, 0.99), "ms"),
        Figure("the same, p50", percentile(delays, 0.5), "ms"),
    ]


class Client:
    """In the chat from `join` on. Small frames only: RFC 6455, 5.2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def join(cls, port: int, small: bool = False) -> Self:
        opened = socket.socket()
        opened.setblocking(False)
        if small:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=opened)
        writer.write(_HANDSHAKE.format(port=port).encode())
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def say(self, text: str) -> None:
        data = text.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
        self._writer.write(b"\x81" + size + bytes(4) + data)  # the mask is zero

    async def hear(self) -> str:
        """The next message; empty for a frame that is none, such as a ping. Raises IncompleteReadError."""
        opcode, length = await self._reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        data = await self._reader.readexactly(length)
        return data.decode() if opcode == 0x81 else ""

    def leave(self) -> None:
        self._writer.transport.abort()


async def _crowd(port: int, seconds: float) -> list[float]:
    """How long, in ms, each message of those who talk took to each of them."""
    talking = [await Client.join(port) for _ in range(TALKING)]
    stalled = [await Client.join(port, small=True) for _ in range(STALLED)]
    delays: list[float] = []
    others = [asyncio.create_task(_again(port, _flood)) for _ in range(FLOODING)]
    others += [asyncio.create_task(_again(port, _pass)) for _ in range(PASSING)]
    ears = [asyncio.create_task(_listen(one, delays)) for one in talking]
    said = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        talking[said % TALKING].say(f"at {time.monotonic()}")
        said += 1
        await asyncio.sleep(PAUSE)
    talking[0].say("the end")
    await asyncio.wait_for(asyncio.gather(*ears), 30)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for one in (*talking, *stalled):
        one.leave()
    return delays


async def _listen(client: Client, delays: list[float]) -> None:
    while (text := await client.hear()) != "Message: the end":
        if text.startswith("Message: at "):
            delays.append((time.monotonic() - float(text.removeprefix("Message: at "))) * 1000)


async def _again(port: int, behave: Callable[[Client], Awaitable[None]]) -> None:
    while True:
        client = await Client.join(port)
        try:
            with contextlib.suppress(*_LEFT):
                await behave(client)
        finally:
            client.leave()
        await asyncio.sleep(PAUSE)


async def _flood(client: Client) -> None:
    """Until the server hangs up."""
    for _ in range(500):
        client.say("spam " * 40)
    while True:
        await client.hear()


async def _pass(client: Client) -> None:
    client.say("hello")
    while await client.hear() != "Message: hello":
        pass
