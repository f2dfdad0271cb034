"""Clients that follow tasks over raw connections: Server-Sent Events as a browser reads them, and WebSockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
from typing import Any

GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, EOFError)


class Follower:
    """One EventSource (HTML, 9.2): it comes back with the last id it saw until the server says 204."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self.events: list[dict[str, Any]] = []
        self.last = ""
        self.connections = 0
        self.done = False
        self.problems: list[str] = []

    async def run(self) -> None:
        while not self.done:
            with contextlib.suppress(*GONE):
                await self._connect()
            await asyncio.sleep(0.02)

    async def _connect(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            resume = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
            writer.write(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            if status == 204:
                self.done = True
            elif status == 200:
                self.connections += 1
                await self._read(reader)
            elif status != 503:
                self.problems.append(f"{self._path}: {status}")
                self.done = True
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """The chunks of RFC 9112, 7.1, and the frames in them. A frame that was cut does not count."""
        text = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            text += (await reader.readexactly(size + 2))[:-2]
            *frames, text = text.split(b"\n\n")
            for frame in frames:
                self._take(frame.decode())

    def _take(self, frame: str) -> None:
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line and not line.startswith(":"))
        self.last = fields.get("id", self.last)
        if "data" in fields:
            self.events.append({"event": fields["event"], "id": int(fields["id"]), **json.loads(fields["data"])})


def open_stream(port: int, path: str, small: bool = False, headers: str = "") -> socket.socket:
    """A stream that was asked for; nothing of the answer is read. `small`: the reader has little room."""
    return _open(port, path, headers, small)


def open_websocket(port: int, path: str, small: bool = False, headers: str = "") -> socket.socket:
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    return _open(port, path, upgrade + headers, small)


def _open(port: int, path: str, headers: str, small: bool) -> socket.socket:
    opened = socket.socket()
    if small:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.settimeout(30)
    opened.connect(("127.0.0.1", port))
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode())
    return opened


def read_all(opened: socket.socket) -> bytes:
    """What comes until the other end closes."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := opened.recv(65536):
            data += piece
    return data
