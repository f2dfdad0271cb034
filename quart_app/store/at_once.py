"""Reads tasks without the event loop, by a connection of its own: the assertions of the test kit are no coroutines."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from quart_app.core.task import StepRecord, Task, TaskFilter
from quart_app.store import statements
from quart_app.store.listing import listing
from quart_app.store.sqlite.bounded_query import ReaderConnection

MOST: Final = 100_000  # tasks in one answer


class ReadAtOnce:
    """Each read opens the database and closes it."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._texts = {name: one.text for name, one in statements.load("sqlite").items()}

    def find(self, wanted: TaskFilter) -> list[Task]:
        """Tasks with their documents, the oldest first; at most MOST, whatever the filter says."""
        wanted = msgspec.structs.replace(wanted, limit=MOST, documents=True)
        text, params = listing(wanted, self._texts.__getitem__)
        return [Task(*row) for row in reversed(self._read(text, params))]

    def get(self, task_id: str) -> Task | None:
        rows = self._read(self._texts["get"], {"ids": msgspec.json.encode([task_id]).decode()})
        return Task(*rows[0]) if rows else None

    def steps(self, task_id: str) -> list[StepRecord]:
        return [StepRecord(*row) for row in self._read(self._texts["steps"], {"id": task_id})]

    def _read(self, text: str, params: dict[str, object]) -> list[Any]:
        with self._connection() as connection:
            return connection.execute(text, params).fetchall()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._uri, uri=True, timeout=5, factory=ReaderConnection)
        try:
            connection.execute("PRAGMA query_only = ON")
            yield connection
        finally:
            connection.close()
