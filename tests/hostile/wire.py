"""Raw HTTP/1.1 over a socket: what is sent is exactly what the test wrote."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable
from typing import Any, Final

import msgspec

TIMEOUT: Final = 30.0  # seconds; only a server that hangs comes near it

Field = tuple[bytes, bytes]


class Reply(msgspec.Struct, frozen=True):
    """One answer. `status` 0: the server closed the connection without a word."""

    status: int
    headers: dict[bytes, bytes] = {}
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        """A problem document of ours, and whole."""
        if self.headers.get(b"content-type") != b"application/problem+json":
            return False
        document = self.json
        names = {"type", "title", "status", "detail", "error"}
        return names <= document.keys() and document["status"] == self.status

    @property
    def is_of_the_parser(self) -> bool:
        """uvicorn's, which answers what it cannot read."""
        return self.status in (400, 414, 431, 501) and not self.body

    @property
    def is_hypercorns(self) -> bool:
        """Bytes that are no HTTP never reach us: the server answers with an empty 4xx, or closes."""
        return self.status == 0 or (400 <= self.status < 500 and not self.body)


def request(
    method: str,
    target: str | bytes,
    body: bytes | None = None,
    headers: Iterable[Field] = (),
    host: bytes = b"localhost",
) -> bytes:
    """The bytes of a request that is well-formed as far as its parts are."""
    if isinstance(target, str):
        target = target.encode()
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: " + host]
    if body is not None:
        headers = [*headers, (b"Content-Length", b"%d" % len(body))]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def post_json(target: str, body: bytes, *headers: Field) -> bytes:
    return request("POST", target, body, [(b"Content-Type", b"application/json"), *headers])


class Wire:
    """A connection that is kept open from request to request, and opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._data = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._data = b""

    def ask(self, raw: bytes, end: bool = False) -> Reply:
        """Send and return the (first) answer. `end`: say that nothing more will be sent."""
        reused = self._socket is not None
        self.send(raw)
        if end:
            self.end()
        reply = self.read(head=raw.startswith(b"HEAD "))
        if reply.status == 0 and reused:
            # A kept connection may have been closed before this request came: only a fresh one tells.
            self.send(raw)
            if end:
                self.end()
            reply = self.read(head=raw.startswith(b"HEAD "))
        return reply

    def send(self, raw: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer, if any, can still be read
            self._socket.sendall(raw)

    def end(self) -> None:
        """Half-close: the server sees the end of what we send and can still answer."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_WR)

    def read(self, head: bool = False) -> Reply:
        """The next final answer. Raises TimeoutError when the server hangs."""
        while True:
            if not self._more_until(b"\r\n\r\n"):
                self.close()
                return Reply(0)
            block, _, self._data = self._data.partition(b"\r\n\r\n")
            first, *lines = block.split(b"\r\n")
            status = int(first.split(b" ")[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            if status == 101 or status >= 200:
                break
        body = b"" if head or status in (101, 204, 304) else self._body(headers)
        if headers.get(b"connection", b"").lower() == b"close" or status == 101:
            self.close()
        return Reply(status, headers, body)

    def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if b"content-length" in headers:
            size = int(headers[b"content-length"])
            while len(self._data) < size and self._more():
                pass
            body, self._data = self._data[:size], self._data[size:]
            return body
        while self._more():  # until the server closes; ours always say how long they are
            pass
        body, self._data = self._data, b""
        return body

    def _more_until(self, mark: bytes) -> bool:
        while mark not in self._data:
            if not self._more():
                return False
        return True

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65536) if self._socket is not None else b""
        except ConnectionResetError:
            data = b""
        self._data += data
        return bool(data)
