"""A reader for statements that may walk many rows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from quart_app.store.bounded import Bounded
from quart_app.store.transaction import Params


class _Connection(Protocol):
    def set_progress_handler(self, handler: Callable[[], bool], n: int) -> Coroutine[Any, Any, None]: ...

    def execute_fetchall(self, sql: str, parameters: Any) -> Coroutine[Any, Any, Iterable[Any]]: ...

    def interrupt(self) -> Coroutine[Any, Any, None]: ...


class Scanner:
    """A reader that runs one statement at a time and gives up on it when its time is over."""

    def __init__(self, connection: _Connection, seconds: Callable[[], float]) -> None:
        """`seconds`: for how long a statement may run, asked when it begins."""
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
        """The statement of a caller who goes away is ended, and the lock kept until it has: it would go on in its
        thread, and its time limit would be that of whoever comes next."""
        try:
            await asyncio.wait([statement])
        except asyncio.CancelledError:
            self._ends = 0.0  # also when its thread has not begun with it, where an interrupt would come too early
            await self._connection.interrupt()
            while not statement.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([statement])
            statement.exception()  # nobody asks for it any more
            raise
        return statement.result()
