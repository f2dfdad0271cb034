"""Whole copies of the database file: `backup` beside a running server, `restore` under the lock.

Both write a temporary file, check it, fsync it, and rename it: a kill at any point leaves nothing partial under a final
name. A copy has everything in its one file (no -wal beside it).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from quart_app.core.errors import ConfigError, StoreBroken, StoreBusy
from quart_app.store import migrate
from quart_app.store.sqlite import journal
from quart_app.store.sqlite.lock import FileLock

_MAX_NUMBER: Final = 2**53


def backup(database: Path, target: Path, force: bool = False) -> int:
    """Copy the database as it is now, also while a server writes to it. The copy has everything that was committed
    before the call. Returns the bytes written.

    Raises FileExistsError without `force`, OSError when `target` cannot be written, StoreBroken, ConfigError.
    """
    if migrate.check(database, migrate.find("sqlite"), only_read=True):
        raise StoreBroken(f"there is no database at {database}")
    target = target.resolve()
    if target.exists():
        if target.samefile(database):
            raise FileExistsError(17, "is the database itself", str(target))
        if not force or not target.is_file():
            raise FileExistsError(17, "exists", str(target))
    with _checked_copy(database, target) as copy:
        size = copy.stat().st_size
        if force:
            copy.replace(target)
        else:
            _put_new(copy, target)
    sync_folder(target.parent)
    return size


def _put_new(copy: Path, target: Path) -> None:
    """Put the copy in place. A file made since the check is not replaced either. Raises FileExistsError."""
    try:
        os.link(copy, target)
    except FileExistsError:
        raise FileExistsError(17, "exists", str(target)) from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(17, "exists", str(target)) from None
        copy.replace(target)


def restore(database: Path, source: Path, stamp: str) -> Path | None:
    """Put a backup in the place of the database. Returns the path of the old database (None when there was none);
    `stamp` is part of its name.

    Raises StoreBusy while a server (or another command) holds the database, StoreBroken when `source` cannot be read
    or is damaged, ConfigError when it is of another program or newer. A kill leaves the old database or the new one.
    """
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(database)
    lock.acquire()
    try:
        _check_source(database, source)
        journal.remove_leftovers(database)
        with _checked_copy(source, database) as copy:
            damaged = database.exists() and not _settle(database)
            _go_on_from(copy, _numbers(database))
            kept = _put_aside(database, database.with_name(f"{database.name}.before-{stamp}"), damaged)
            copy.replace(database)
        sync_folder(database.parent)
        return kept
    finally:
        lock.release()


def _check_source(database: Path, source: Path) -> None:
    if not source.exists() or source.stat().st_size == 0:
        raise StoreBroken(f"{source} does not exist or is empty")
    if database.exists() and source.samefile(database):
        raise ConfigError(f"{source} is the database itself")
    if database.exists() and not database.is_file():
        raise ConfigError(f"{database} is not a regular file")
    try:
        migrate.check(source, migrate.find("sqlite"), only_read=True)
    except StoreBroken as error:
        raise StoreBroken(str(error).partition(";")[0]) from error  # without its advice to restore


@contextlib.contextmanager
def _checked_copy(source: Path, target: Path) -> Iterator[Path]:
    """A complete, checked and synced copy under a temporary name beside `target`, for the caller to rename."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        try:
            _copy(source, temporary)
        except sqlite3.Error as error:
            raise StoreBroken(f"cannot copy {source}: {error}") from error
        journal.sync_file(temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path, temporary: Path) -> None:
    with (
        journal.recovered(source, beside=False) as found,
        contextlib.closing(_open(found, "ro")) as reader,
        contextlib.closing(_open(temporary, "rw")) as writer,
    ):
        writer.execute("PRAGMA synchronous = OFF")  # it is synced once, as a whole
        reader.backup(writer, pages=-1)  # in one step: page by page it would start again at every commit of the server
        writer.execute("PRAGMA journal_mode = DELETE")
        ((answer,),) = writer.execute("PRAGMA quick_check(1)").fetchall()
        if answer != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {' '.join(answer.split())[:300]}")


def _settle(database: Path) -> bool:
    """Move everything into the one file. False: it is damaged and stays as it is. Raises StoreBusy, StoreBroken."""
    try:
        with (
            journal.recovered(database, beside=True) as found,
            contextlib.closing(_open(found, "ro")) as connection,
        ):
            # Not through a writing connection: closing it would checkpoint into the damaged file.
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return False
        with contextlib.closing(_open(database, "rw")) as connection:
            settled = connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        if code != sqlite3.SQLITE_BUSY:
            raise StoreBroken(f"cannot settle {database}: {error}") from error
        settled = False
    if not settled:
        raise StoreBusy(f"another process reads {database}; try again when it has finished")
    return True


def _numbers(database: Path) -> dict[str, int]:
    """The highest number that each table has given out. Of a damaged database, the numbers that can still be read, or
    none."""
    if not database.exists():
        return {}
    try:
        with (
            journal.recovered(database, beside=True) as found,
            contextlib.closing(_open(found, "ro")) as connection,
        ):
            rows = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    except sqlite3.Error:
        return {}
    # A damaged database may give any value, and after 2^63 there is no number left.
    return {name: seq for name, seq in rows if isinstance(seq, int) and 0 < seq < _MAX_NUMBER}


def _go_on_from(copy: Path, numbers: dict[str, int]) -> None:
    """Keep the copy from giving out a number that the old database gave out: clients keep the numbers of events and ask
    for the events after them."""
    try:
        with contextlib.closing(_open(copy, "rw")) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # after a failure the copy is deleted anyway
            known = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for name in numbers.keys() & tables:
                if name not in known:
                    connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, numbers[name]))
                elif known[name] < numbers[name]:
                    connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (numbers[name], name))
    except sqlite3.Error as error:
        raise StoreBroken(f"cannot write {copy}: {error}") from error
    journal.sync_file(copy)


def _put_aside(database: Path, kept: Path, damaged: bool) -> Path | None:
    """Keep the old database under a second name, and remove a -wal that SQLite would replay into the new one."""
    if not database.exists():
        journal.remove_side_files(database)
        return None
    os.link(database, kept)
    if damaged:
        for suffix in ("-wal", "-journal"):
            if (side := Path(f"{database}{suffix}")).exists():
                side.rename(f"{kept}{suffix}")
    journal.remove_side_files(database)
    sync_folder(database.parent)
    return kept


def _open(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)


def sync_folder(folder: Path) -> None:
    """Sync a folder: a new or renamed file survives a power cut only when its folder was synced too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
