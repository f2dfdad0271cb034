"""A reader for statements that may walk many rows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from quart_app.store.sqlite.bounded_query import Bounded
from quart_app.store.sqlite.transaction import Params


class _Connection(Protocol):
    def set_progress_handler(self, handler: Callable[[], bool], n: int) -> Coroutine[Any, Any, None]: ...

    def execute_fetchall(self, sql: str, parameters: Any) -> Coroutine[Any, Any, Iterable[Any]]: ...

    def interrupt(self) -> Coroutine[Any, Any, None]: ...


class Scanner:
    """A reader that runs one statement at a time and aborts it after its time limit."""

    def __init__(self, connection: _Connection, seconds: Callable[[], float]) -> None:
        """`seconds` returns how long a statement may run; it is called when the statement begins."""
        self._seconds = seconds
        self._connection = connection
        self._lock = asyncio.Lock()
        self._ends = 0.0
        self.load = 0

    async def start(self) -> None:
        await self._connection.set_progress_handler(lambda: time.monotonic() > self._ends, 20_000)

    async def run(self, text: str, params: Params, takes: Callable[[Any], bool] | None) -> Iterable[Any]:
        self.load += 1
        try:
            async with self._lock:
                self._ends = time.monotonic() + self._seconds()
                asked: Any = params if takes is None else Bounded(params, takes)
                return await self._to_its_end(asyncio.create_task(self._connection.execute_fetchall(text, asked)))
        finally:
            self.load -= 1

    async def _to_its_end(self, statement: asyncio.Task[Iterable[Any]]) -> Iterable[Any]:
        """Wait for the statement. When the caller is cancelled, interrupt the statement and keep the lock until it has
        ended: otherwise it would go on in its thread, with the time limit of the next statement."""
        try:
            await asyncio.wait([statement])
        except asyncio.CancelledError:
            self._ends = 0.0  # for a statement that its thread has not begun yet: an interrupt comes too early there
            await self._connection.interrupt()
            while not statement.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([statement])
            statement.exception()  # the caller is gone; this marks the error as retrieved
            raise
        return statement.result()
