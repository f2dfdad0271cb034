"""Reads a database for `audit`, beside a server that may be writing it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from quart_app.core.errors import StoreBroken
from quart_app.store import statements
from quart_app.store.sqlite import journal

MAX_SNAPSHOT: Final = 1.0  # seconds, while another connection writes
OPERATIONS: Final = 20_000  # instructions of SQLite's virtual machine between two looks at the clock


class Interrupted(Exception):
    """A snapshot lasted too long while another connection wrote."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Reader]:
    try:
        with journal.recovered(path, beside=False) as found, contextlib.closing(Reader(found)) as reader:
            yield reader
    except (OSError, sqlite3.Error) as error:
        raise StoreBroken(f"cannot read {path}: {error}") from error


class Reader:
    """A read-only connection. Its snapshots end after a second when another connection writes meanwhile: the server
    could not checkpoint past them, and its -wal would grow."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.set_progress_handler(self._too_long, OPERATIONS)
        self._wal = Path(f"{path}-wal")
        self._texts = {name: one.text for name, one in statements.load("sqlite", statements.AUDIT).items()}
        self._ends = float("inf")
        self._written = 0
        self.version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]

    @contextlib.contextmanager
    def snapshot(self, patient: bool = False) -> Iterator[None]:
        """All reads inside see one moment. Raises Interrupted when they take too long, unless `patient` (for small
        reads)."""
        self._connection.execute("BEGIN")
        self._written = self._last_write()
        self._ends = float("inf") if patient else time.monotonic() + MAX_SNAPSHOT
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise Interrupted from None
            raise
        finally:
            self._ends = float("inf")
            self._connection.execute("ROLLBACK")

    def __call__(self, statement: str, **params: Any) -> list[Any]:
        return self._connection.execute(self._texts[statement], params).fetchall()

    def _too_long(self) -> bool:
        return time.monotonic() > self._ends and self._last_write() != self._written

    def _last_write(self) -> int:
        try:
            return self._wal.stat().st_mtime_ns
        except OSError:
            return 0

    def close(self) -> None:
        self._connection.close()
