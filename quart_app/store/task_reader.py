"""Reads single tasks: requests made while a read is under way share the next one."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from quart_app.core.task import Task
from quart_app.store.sqlite.database import Database

MAX_GETS: Final = 200  # tasks in one read


class TaskReader:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._gets: list[tuple[str, asyncio.Future[Task | None]]] = []
        self._getter: asyncio.Task[None] | None = None

    async def get(self, task_id: str) -> Task | None:
        """Raises StoreUnavailable."""
        future: asyncio.Future[Task | None] = asyncio.get_running_loop().create_future()
        self._gets.append((task_id, future))
        if self._getter is None:
            self._getter = asyncio.create_task(self._get_all(), name="task-reader")
        return await future

    async def _get_all(self) -> None:
        try:
            while self._gets:
                wanted, self._gets = self._gets[:MAX_GETS], self._gets[MAX_GETS:]
                try:
                    ids = msgspec.json.encode([task_id for task_id, _ in wanted]).decode()
                    rows = await self._db.read(self._db.text("get"), {"ids": ids})
                except Exception as error:
                    for _, future in wanted:
                        if not future.done():
                            future.set_exception(error)
                    continue
                found = {row[1]: Task(*row) for row in rows}
                for task_id, future in wanted:
                    if not future.done():
                        future.set_result(found.get(task_id))
        finally:
            self._getter = None
