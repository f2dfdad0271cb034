"""A real HTTP server on loopback that stands for somebody else's: it keeps a limit of its own, or misbehaves on demand.

It runs in a thread, so that tests with and without an event loop of their own can use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

Behaviour = Callable[["Upstream", asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Answers each GET with another fact. It counts a request when it answers it, and allows `max_calls` of those it
    answered in any `window` seconds; `behave` takes the place of the answer."""

    def __init__(self, max_calls: int | None = None, window: float = 1.0, behave: Behaviour | None = None) -> None:
        self.max_calls = max_calls
        self.window = window
        self.behave = behave
        self.delay = 0.0  # seconds before an answer
        self.given: list[float] = []  # when it gave a fact
        self.refused: list[float] = []  # when it answered 429
        self.asked = 0
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/fact"
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    await asyncio.sleep(self.delay)
                    await (self.behave(self, writer) if self.behave is not None else self.answer(writer))
                finally:
                    self._at_once -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client, or this server, has had enough
        finally:
            writer.transport.abort()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic()
        inside = [at for at in self.given if at > now - self.window]
        if self.max_calls is not None and len(inside) >= self.max_calls:
            self.refused.append(now)
            after = inside[-self.max_calls] + self.window - now
            await send(writer, 429, b"{}", f"Retry-After: {int(after) + 1}")
            return
        self.given.append(now)
        fact = f"Fact {len(self.given)}: cats sleep."
        await send(writer, 200, json.dumps({"fact": fact, "length": len(fact)}).encode())


async def send(writer: asyncio.StreamWriter, status: int, body: bytes, *fields: str) -> None:
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()


def answering(status: int, body: bytes = b"{}", *fields: str) -> Behaviour:
    async def behave(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
        await send(writer, status, body, *fields)

    return behave


def failing(times: int) -> Behaviour:
    """500 for so many requests, then as it should be."""

    async def behave(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
        await (send(writer, 500, b"{}") if upstream.asked <= times else upstream.answer(writer))

    return behave


async def endless(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
    """A body without an end, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 4096)
        await writer.drain()


async def dripping(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
    """A body that never ends, a byte now and then."""
    writer.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silent(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
    """No answer at all."""
    await asyncio.sleep(3600)


async def resetting(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
    """Half an answer, then the connection is gone."""
    writer.write(b'HTTP/1.1 200 X\r\nContent-Length: 500\r\n\r\n{"fact":')
    await writer.drain()
    writer.transport.abort()


async def no_http(upstream: Upstream, writer: asyncio.StreamWriter) -> None:
    writer.write(b"MEOW\r\n\r\n")
    await writer.drain()
    writer.close()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address where nobody listens."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/fact"
