"""SQLite: the lock, the pragmas, ONE writer with group commit, readers. The only importer of aiosqlite.

Each caller gives its calls to the writer and awaits a future that resolves after COMMIT. Each turn takes all waiting
writes into one `BEGIN IMMEDIATE … COMMIT`. The writer never delays a turn for more writes: while one turn is written to
the disk, the next one fills. Only the writer writes and checkpoints: SQLite 3.7.0 to 3.51.2 can lose pages when two
connections commit and checkpoint at the same moment (sqlite.org/wal.html, "the WAL-reset bug").
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiosqlite

from quart_app.core.errors import ReadTooLong, StoreBroken, StoreClosed, StoreUnavailable
from quart_app.store import statements
from quart_app.store.sqlite import integrity
from quart_app.store.sqlite.bounded_query import ReaderConnection
from quart_app.store.sqlite.scanner import Scanner
from quart_app.store.sqlite.transaction import (
    TRANSACTION,
    Answer,
    Apart,
    Call,
    Params,
    Transaction,
    Write,
    WriterConnection,
    is_storage_trouble,
)
from quart_app.store.sqlite.waiting_writes import Waiting

log = logging.getLogger("quart_app.store")

MAX_WAITING: Final = 50_000  # rows given to the writer and not yet written
MAX_TURN: Final = 2_000  # rows in one transaction
MAX_READ_SECONDS: Final = 1.0
SCANNERS: Final = 2  # readers for statements that may walk many rows

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})  # with their extended codes
_BROKEN: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_READONLY_DBMOVED})


class Database:
    def __init__(self, path: Path, synchronous: str, on_broken: Callable[[str], None]) -> None:
        self._path = path
        self._synchronous = synchronous
        self._on_broken = on_broken
        self._statements = statements.load("sqlite")
        self._waiting = Waiting()
        self._wake_up = asyncio.Event()
        self._closing = False
        self._broken = ""
        self._last_error = ""
        self._task: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._checker: aiosqlite.Connection | None = None
        self._readers: list[aiosqlite.Connection] = []
        self._scanners: list[Scanner] = []
        self.on_commit: Callable[[], None] = lambda: None
        self.commits = 0
        self.rows = 0

    # --- open and close

    async def connect(self) -> aiosqlite.Connection:
        """Open the writing connection and set it up. Raises StoreBroken."""
        try:
            # A failed open inside aiosqlite leaves its thread behind, so try before there is one.
            sqlite3.connect(self._path).close()
            self._writer = await _opened(
                aiosqlite.connect(self._path, isolation_level=None, cached_statements=256, factory=WriterConnection)
            )
        except sqlite3.Error as error:
            raise StoreBroken(f"cannot open {self._path}: {error}") from error
        try:
            for pragma in (
                "busy_timeout = 2000",  # a caller may wait for two turns, and must get an answer within five seconds
                "journal_mode = WAL",
                f"synchronous = {self._synchronous}",
                "foreign_keys = ON",
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "wal_autocheckpoint = 1000",
                "journal_size_limit = 67108864",
                "temp_store = MEMORY",
                "cache_size = -16384",
            ):
                await self._writer.execute_fetchall(f"PRAGMA {pragma}")
        except BaseException as error:
            await self._writer.close()
            if isinstance(error, sqlite3.Error):
                raise StoreBroken(f"cannot write {self._path}: {error}") from error
            raise
        return self._writer

    async def start(self) -> None:
        """Open the readers and start the writer's task."""
        self._point_reader = await self._open_reader()
        self._document_reader = await self._open_reader()
        for _ in range(SCANNERS):
            self._scanners.append(Scanner(await self._open_reader(), lambda: MAX_READ_SECONDS))
        for scanner in self._scanners:
            await scanner.start()
        self._task = asyncio.create_task(self._run(), name="store-writer")
        if self._path.stat().st_size > integrity.AT_ONCE_BYTES:
            self._check = asyncio.create_task(self._check_pages(), name="store-check")

    async def _check_pages(self) -> None:
        """Declare the database broken when SQLite finds damage in it. Table by table: while a snapshot is held, the WAL
        cannot start over, and grows (measured: 315 MiB are checked in 0.2 s, when they are in memory)."""
        self._checker = await self._open_reader()
        try:
            for (name,) in await self._checker.execute_fetchall("SELECT name FROM sqlite_master WHERE type = 'table'"):
                if self._closing:
                    return
                ((answer,),) = await self._checker.execute_fetchall(f"PRAGMA quick_check('{name}')")
                if answer != "ok":
                    self.declare_broken(integrity.damaged(self._path, answer))
                    return
            log.info("checked the pages of %s", self._path)
        except sqlite3.Error as error:
            if _is_damage(error):
                self.declare_broken(integrity.damaged(self._path, str(error)))
            elif not self._closing:
                log.warning("%s could not be checked: %s", self._path, error)

    async def _open_reader(self) -> aiosqlite.Connection:
        uri = f"file:{quote(os.fsencode(self._path.absolute()))}?mode=ro"
        reader = await _opened(
            aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=256, factory=ReaderConnection)
        )
        self._readers.append(reader)
        for pragma in ("query_only = ON", "busy_timeout = 5000", "trusted_schema = OFF", "wal_autocheckpoint = 0"):
            await reader.execute_fetchall(f"PRAGMA {pragma}")
        return reader

    async def close(self) -> None:
        """Finish the waiting writes and close all connections (each has a thread that would keep the process alive)."""
        self._closing = True
        self._wake_up.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._check is not None:
            while not (await asyncio.wait([self._check], timeout=0.01))[0]:
                if self._checker is not None:  # the check need not be finished
                    await self._checker.interrupt()
        for connection in (*self._readers, self._writer):
            await connection.close()

    @property
    def trouble(self) -> str:
        """Why the last write failed; empty when it did not."""
        return self._broken or self._last_error

    # --- writing

    async def write(
        self,
        calls: Sequence[Call],
        check: Callable[[Answer], None] | None = None,
        after: Callable[[Answer], None] | None = None,
    ) -> Answer:
        """Run the calls in one transaction (shared with other waiting writes) and return what each returned.

        `check` may raise before COMMIT: then nothing of this write takes effect and only its caller gets the error.
        `after` is called on the loop right after COMMIT, even when the caller has been cancelled meanwhile.
        Raises StoreUnavailable.
        """
        if self._broken or self._closing:
            raise StoreClosed(self._broken or "the store is closing")
        if self._waiting.rows > MAX_WAITING:
            raise StoreUnavailable("too many writes are waiting")
        write = Write(calls, check, after, asyncio.get_running_loop().create_future())
        self._waiting.add(write)
        self._wake_up.set()
        return await write.future

    async def _run(self) -> None:
        try:
            while True:
                await self._wake_up.wait()
                self._wake_up.clear()
                while self._waiting:
                    await self._turn(self._take())
                if self._closing:
                    return
        finally:
            # Also when the event loop is closed: no caller may wait for an answer that cannot come.
            self._closing = True
            for write in self._waiting.take_all():
                if not write.future.done():
                    write.future.set_exception(StoreClosed("the store is closed"))
                    write.future.exception()

    def _take(self) -> list[Write]:
        """The writes of the next transaction."""
        return self._waiting.take(MAX_TURN)

    async def _turn(self, writes: list[Write]) -> None:
        """One transaction of all writes that pass, and one of the refused: a wrong write costs the others little."""
        try:
            transaction = Transaction(writes, self._statements)
            await self._writer.execute_fetchall(TRANSACTION, transaction)
        except Exception as error:
            # A constraint fails the whole set, and the error does not name the row.
            if len(writes) > 1 and not is_storage_trouble(error):
                await self._turn_apart(writes)
            else:
                self._fail(writes, error)
            return
        if answers := transaction.answers:
            self._landed([(writes[place], answer) for place, answer in answers.items()])
        if len(answers) < len(writes):
            # In a transaction of their own, after the answers of the others: the dispatcher gets the answer of a claim
            # before it is notified of later commits.
            await self._turn_apart([write for place, write in enumerate(writes) if place not in answers])

    async def _turn_apart(self, writes: list[Write]) -> None:
        try:
            apart = Apart(writes, self._statements)
            await self._writer.execute_fetchall(TRANSACTION, apart)
        except Exception as error:
            self._fail(writes, error)
            return
        landed: list[tuple[Write, Answer]] = []
        for place, write in enumerate(writes):
            outcome = apart.outcomes[place]
            if isinstance(outcome, Exception):
                self._fail([write], outcome)
            else:
                landed.append((write, outcome))
        if landed:
            self._landed(landed)

    def _landed(self, answers: list[tuple[Write, Answer]]) -> None:
        """After a commit: call the wake-ups and answer the callers, in the order in which they came."""
        self._last_error = ""
        self.commits += 1
        for write, answer in answers:
            self.rows += len(write.calls)
            if write.after is not None:
                try:
                    write.after(answer)
                except Exception:
                    log.exception("a wake-up failed")
            if not write.future.done():
                write.future.set_result(answer)
        self.on_commit()

    def _fail(self, writes: list[Write], error: Exception) -> None:
        if is_storage_trouble(error):
            self._last_error = str(error)
            if _is_damage(error):
                self.declare_broken(str(error))
            error = StoreUnavailable(f"the store cannot write: {error}")
        for write in writes:
            if not write.future.done():
                write.future.set_exception(error)
                write.future.exception()  # a caller that went away must not leave a warning behind

    def declare_broken(self, reason: str) -> None:
        """Refuse all further writes (a failed fsync is never tried again) and let the process end."""
        if not self._broken:
            self._broken = reason
            self._on_broken(reason)

    # --- reading

    async def read(self, text: str, params: Params, large: bool = False) -> Iterable[Any]:
        """One SELECT of few rows found by an index. `large`: they may have megabytes, so another reader takes them and
        reads of single tasks need not wait. Raises StoreUnavailable."""
        reader = self._document_reader if large else self._point_reader
        try:
            return await reader.execute_fetchall(text, params)
        except (sqlite3.Error, ValueError) as error:  # ValueError: aiosqlite raises it for a closed connection
            raise StoreUnavailable(f"the store cannot read: {error}") from error

    async def scan(self, text: str, params: Params, takes: Callable[[Any], bool] | None = None) -> Iterable[Any]:
        """One SELECT that may walk many rows. It is aborted after a second, so that no snapshot holds the WAL for long.
        It ends at the first row that `takes` refuses. Raises ReadTooLong, StoreUnavailable."""
        scanner = min(self._scanners, key=lambda one: one.load)
        try:
            return await scanner.run(text, params, takes)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise ReadTooLong(f"the read took longer than {MAX_READ_SECONDS:g} s and was interrupted") from error
            raise StoreUnavailable(f"the store cannot read: {error}") from error
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(f"the store cannot read: {error}") from error

    async def newest_date(self) -> int:
        """When the newest event was written, in ms UTC; 0: there is none. Raises StoreUnavailable."""
        ((at,),) = await self.read(self.text("newest_date"), {})
        return int(at)

    @property
    def version(self) -> str:
        return sqlite3.sqlite_version

    def health(self) -> dict[str, str | int]:
        """Raises StoreUnavailable when the last write failed."""
        if self.trouble:
            raise StoreUnavailable(self.trouble)
        return {
            "sqlite": sqlite3.sqlite_version,
            "synchronous": self._synchronous,
            "commits": self.commits,
            "rows": self.rows,
            "waiting_rows": self._waiting.rows,
            "database_bytes": _size(self._path),
            "wal_bytes": _size(Path(f"{self._path}-wal")),
        }

    def text(self, statement: str) -> str:
        return self._statements[statement].text


async def _opened(connection: aiosqlite.Connection) -> aiosqlite.Connection:
    """Open the connection. When the caller is cancelled, close it: aiosqlite would leave its file open."""
    opening = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await (await opening).close()
        raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_damage(error: Exception) -> bool:
    """Whether the file cannot be trusted any more."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGED or code in _BROKEN
