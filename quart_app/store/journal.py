"""A rollback journal that a killed process left ("hot"): SQLite takes the half-made change back before anybody reads.
It needs to write for that, so a look that must not change a byte is taken at a private copy.

We leave one for moments only: while a new or restored database turns to its write-ahead log, and while a restore turns
the old one back.
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
    """Where the database can be read, without a write to it, as the next writer will find it: `path` itself, or a copy
    in which SQLite has taken back what the journal says.

    The copy may be as large as the database. `beside`: make it in the folder of the database, for the holder of the
    lock (see `remove_leftovers`); else where the system keeps temporary files. Raises OSError, sqlite3.Error.
    """
    real = Path(os.path.realpath(path))  # SQLite puts the journal beside the file itself, whatever links lead there
    while _is_hot(real):
        # The copy is good when the journal is still there after it was made: it is removed last.
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
    """SQLite's own answer; whoever writes right now holds a lock, which makes a journal his and not hot."""
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
    """A folder for the owner only; what a kill leaves of it beside the database is removed by `remove_leftovers`."""
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", suffix=_TEMPORARY, dir=path.parent if beside else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def remove_leftovers(database: Path) -> None:
    """Remove what a killed restore or a killed look left beside the database. Only under its lock. Raises OSError."""
    for suffix in ("", *_SIDES, "-shm"):
        for left in database.parent.glob(f".{glob.escape(database.name)}.*{_TEMPORARY}{suffix}"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)


def remove_side_files(database: Path) -> None:
    """Of a database that is no more, or is not begun yet."""
    for suffix in (*_SIDES, "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
