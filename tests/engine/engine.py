"""The real engine without HTTP: a Runtime on a folder of its own, whose `spawn` makes plain asyncio tasks."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from quart_app.core import codec
from quart_app.core.task import ErrorRecord, Event, StepRecord, Task
from quart_app.engine.registry import Declared
from quart_app.runtime import Runtime
from quart_app.service.tasks import MAX_HISTORY, TaskHandle
from quart_app.settings import Settings

DEADLINE = 20.0  # seconds; generous, so that one slow core fails no test


async def until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], what: str) -> Any:
    """The first true value of `condition`. Fails the test, saying `what` was waited for, when the deadline passes."""
    ends = asyncio.get_running_loop().time() + DEADLINE
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > ends:
            raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")
        await asyncio.sleep(0.005)


class Gate:
    """Where the handlers of a test wait, in coroutines and in threads, until the test opens it."""

    def __init__(self) -> None:
        self.close()

    def close(self) -> None:
        """Shut it before a test: an event belongs to the loop of the test that waited for it."""
        self._event = asyncio.Event()
        self._thread_event = threading.Event()

    def open(self) -> None:
        self._event.set()
        self._thread_event.set()

    @property
    def is_open(self) -> bool:
        return self._thread_event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    def wait_blocking(self, timeout: float | None = None) -> None:
        self._thread_event.wait(timeout)


class Engine:
    """One life of a Runtime. `close` and a new Engine on the same folder are a restart."""

    def __init__(self, folder: Path, kinds: Iterable[Declared], **settings: Any) -> None:
        self.settings = Settings(
            **{"data_dir": str(folder), "drain_seconds": 0.0, "cpu_slots": 2, "schedules": 0, **settings}
        )
        self.broken: list[str] = []
        self._spawned: set[asyncio.Task[None]] = set()
        self._closed = False
        self.runtime = Runtime(self.settings, self._spawn, kinds, on_broken=self.broken.append)

    def _spawn(self, function: Callable[..., Any], *args: Any) -> None:
        task = asyncio.get_running_loop().create_task(function(*args))
        self._spawned.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        # What is given to add_background_task may never raise; a CancelledError would stop the server's shutdown.
        if task.cancelled() or task.exception() is not None:
            self.broken.append(f"a run raised: {task!r}")

    async def open(self) -> Engine:
        await self.runtime.open()
        return self

    async def close(self) -> None:
        """Stop gracefully, once."""
        if not self._closed:
            self._closed = True
            await self.runtime.close()
            assert self.broken == []

    # --- making tasks and waiting for them

    async def enqueue(self, kind: str, args: dict[str, Any] | None = None, **options: Any) -> TaskHandle:
        return await self.runtime.service.enqueue_kind(kind, args or {}, options)

    async def end(self, handle: TaskHandle) -> Task:
        """The row once it has ended."""
        task = await self.runtime.service.wait(handle.id, DEADLINE)
        assert task.ended, f"{task.kind} is still {task.status}"
        return task

    async def run(self, kind: str, args: dict[str, Any] | None = None, **options: Any) -> Task:
        return await self.end(await self.enqueue(kind, args, **options))

    async def status(self, handle: TaskHandle, status: str) -> Task:
        """The row once it has this status."""

        async def reached() -> Task | None:
            task = await handle.get()
            return task if task.status == status else None

        found: Task = await until(reached, f"status {status}")
        return found

    async def history(
        self, handle_or_task: TaskHandle | Task
    ) -> tuple[list[Event], list[StepRecord], list[ErrorRecord]]:
        service = self.runtime.service
        errors, steps = await service.history(handle_or_task.id)
        return await service.events(handle_or_task.id, 0, MAX_HISTORY), steps, errors

    async def events(self, handle_or_task: TaskHandle | Task, name: str) -> list[Any]:
        """The data of the events of one name, oldest first."""
        events, _, _ = await self.history(handle_or_task)
        return [codec.loads(event.data) for event in events if event.name == name and event.data is not None]

    def sql(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """Another hand in the database, as a second process would have it."""
        with contextlib.closing(sqlite3.connect(self.settings.database_path, timeout=10)) as connection, connection:
            return connection.execute(statement, params).fetchall()


def result(task: Task) -> Any:
    """What the handler returned, of a task that must have completed."""
    assert task.status == "completed", f"{task.status}: {task.error_type}: {task.error_message}"
    return codec.loads(task.result) if task.result is not None else None
