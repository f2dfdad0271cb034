"""Reads a database whose rollback journal was left by a killed process ("hot"). SQLite undoes the half-made change
before any read. It must write for that, so a read that must not change a byte uses a private copy.

Such a journal exists only for moments: while a new or restored database changes to its write-ahead log, and while a
restore changes the old one back.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SIDES: Final = ("-journal", "-wal")
_TEMPORARY: Final = ".tmp"


@contextlib.contextmanager
def recovered(path: Path, beside: bool) -> Iterator[Path]:
    """A path to read the database at, as the next writer will find it, without a write to it: `path` itself, or a copy
    in which SQLite has applied the journal.

    The copy may be as large as the database. `beside`: make it in the folder of the database, for the holder of the
    lock (see `remove_leftovers`); else in the system's folder for temporary files. Raises OSError, sqlite3.Error.
    """
    real = Path(os.path.realpath(path))  # SQLite puts the journal beside the real file, not beside a link to it
    while _is_hot(real):
        # The copy is good when the journal is still there after copying: SQLite removes it last.
        before = _identity(real)
        with _folder(real, beside) as folder:
            copy = folder / real.name
            for suffix in ("", *_SIDES):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{real}{suffix}", f"{copy}{suffix}")
            if _identity(real) != before:
                continue
            with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("SELECT count(*) FROM sqlite_master")
            yield copy
            return
    yield path


def _is_hot(path: Path) -> bool:
    """Whether SQLite calls the journal hot. A process that writes now holds a lock, so its journal is not hot."""
    if not Path(f"{path}-journal").exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK
    return False


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = Path(f"{path}-journal").stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _folder(path: Path, beside: bool) -> Iterator[Path]:
    """A folder that only this user can read. `remove_leftovers` removes one that a kill leaves beside the database."""
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", suffix=_TEMPORARY, dir=path.parent if beside else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def remove_leftovers(database: Path) -> None:
    """Remove files that a killed restore or read left beside the database. Only under its lock. Raises OSError."""
    for suffix in ("", *_SIDES, "-shm"):
        for left in database.parent.glob(f".{glob.escape(database.name)}.*{_TEMPORARY}{suffix}"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)


def remove_side_files(database: Path) -> None:
    """Remove the side files of a database that is gone, or does not exist yet."""
    for suffix in (*_SIDES, "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
