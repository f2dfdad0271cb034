"""What a run emits while it runs: events that are kept in order, written many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.errors import ClaimLost, HistoryFull
from quart_app.core.size_budget import size_of
from quart_app.core.task import Claimed
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.store.protocols.flow import FlowStore

MAX_OUTPUT: Final = 65_536  # bytes of the data of one emission, as JSON
MAX_RUN: Final = 256 * 1024 * 1024  # bytes of the emissions of one run together, each with ROW
INTERVAL: Final = 0.05  # seconds between two commits of one run's output
BUFFER: Final = 1024 * 1024  # bytes that are emitted and not yet written
ROW: Final = 1024  # bytes that an emission counts for beside its data: it bounds the rows of one commit, too


def encode(data: Any) -> str:
    """JSON text of what is to be emitted. Raises codec.NotJson, and ValueError when it is too large."""
    text = codec.encode(data)
    if (size := size_of(text)) > MAX_OUTPUT:
        raise ValueError(f"ctx.emit takes at most {MAX_OUTPUT} bytes of JSON at once, not {size}")
    return text


class Output:
    """The output of one run. Emissions wait here for the next commit; a run has at most twenty a second."""

    def __init__(self, task: Claimed, store: FlowStore, clock: Clock, has_room: Callable[[], Awaitable[bool]]) -> None:
        """`has_room`: counts an event of the task's history, and says whether it still fits."""
        self._task = task
        self._store = store
        self._clock = clock
        self._has_room = has_room
        self._turn = asyncio.Lock()  # who comes first emits first, also when one has to wait for room
        self._waiting: list[str] = []
        self._size = 0
        self._emitted = 0
        self._bytes = 0
        self._written = 0
        self._began_at = -INTERVAL
        self._writer: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False

    async def emit(self, text: str) -> None:
        """Number an emission and have it written. `text`: from `encode`. Waits while too much is waiting to be written.
        Raises HistoryFull, ClaimLost."""
        async with self._turn:
            size = size_of(text) + ROW
            while self._size and self._size + size > BUFFER and self._error is None:
                await self._move()
            self._check()
            if self._bytes + size > MAX_RUN:
                raise HistoryFull(f"a run emits at most {MAX_RUN} bytes; write a file and emit its name instead")
            if not await self._has_room():
                raise HistoryFull("the history of this task is full: it takes no more output")
            self._check()
            self._emitted += 1
            self._bytes += size
            self._waiting.append(f'{{"run":{self._task.fence},"n":{self._emitted},"data":{text}}}')
            self._size += size
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Return when all that was emitted so far is written; it is written at once. Raises ClaimLost, StoreClosed."""
        goal = self._emitted
        while self._written < goal and self._error is None:
            if self._waiting:  # else all of it is under way
                self._hurry.set()
            await self._move()
        if self._error is not None:
            self._check()

    async def close(self) -> None:
        """The run ends: write what waits, and take nothing more. Raises as `flush`."""
        self._closed = True
        await self.flush()

    def _check(self) -> None:
        if self._closed or isinstance(self._error, ClaimLost):
            raise ClaimLost
        if self._error is not None:
            raise self._error

    async def _move(self) -> None:
        """Wait until the writer has written something, or failed."""
        self._moved.clear()
        await self._moved.wait()

    async def _write(self) -> None:
        """A task of its own, so that a step or a handler that is cancelled takes nothing with it."""
        try:
            while self._waiting:
                await self._pause()
                await self._write_all()
        except BaseException as error:  # it is raised by the next emission, or at the end of the run
            self._error = error
        finally:
            self._moved.set()

    async def _pause(self) -> None:
        """Until the next commit may begin; not at all when somebody waits for it to end."""
        wait = self._began_at + INTERVAL - self._clock.monotonic()
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._hurry.wait()
            except TimeoutError:
                pass
        self._hurry.clear()
        self._began_at = self._clock.monotonic()

    async def _write_all(self) -> None:
        batch, size, self._waiting = self._waiting, self._size, []
        task = self._task
        landed = await retry_store_call(
            lambda: self._store.emit(task.id, task.fence, batch, self._clock.now()), self._clock
        )
        if not landed:
            raise ClaimLost
        self._size -= size
        self._written += len(batch)
        self._moved.set()
