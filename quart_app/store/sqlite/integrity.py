"""Checks the files on the disk before any connection may write: a writing connection checkpoints when it closes, and
would copy a foreign log into the database."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from quart_app.core.errors import StoreBroken, StoreUnavailable

AT_ONCE_BYTES: Final = 128 * 1024 * 1024  # a larger database would delay the start; it is checked while the server runs
RESTORE: Final = "`python -m quart_app restore FILE` puts a backup in its place"

# The header of a write-ahead log (sqlite.org/fileformat2.html, 4.1): eight big-endian words, of which the last two are
# the checksum of the first six. The lowest bit of the first is the byte order in which checksums read their words.
_WAL_HEADER: Final = struct.Struct(">8I")
_WAL_MAGIC: Final = 0x377F0682
_WAL_VERSION: Final = 3007000
_PAGE_SIZE_AT: Final = 16  # in the database's own header: two bytes, 1 stands for 65536


@contextlib.contextmanager
def refusing(database: Path) -> Iterator[None]:
    """Turn errors of the disk and of SQLite at the start into StoreBroken: one line and an exit code."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename and str(error.filename) != str(database) else ""
        raise StoreBroken(f"cannot use {database}: {error.strerror or error}{place}") from error
    except (sqlite3.Error, StoreUnavailable) as error:
        raise StoreBroken(f"cannot use {database}: {error}") from error


def check_log(database: Path) -> None:
    """Refuse a write-ahead log with a bad header: SQLite would treat it as empty and lose all the commits in it.

    No crash leaves such a log: the header is on disk before the first frame is written. Raises StoreBroken.
    """
    path = database.with_name(database.name + "-wal")
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise StoreBroken(f"{path} is not a regular file")
        with path.open("rb") as log, database.open("rb") as pages:
            header = log.read(_WAL_HEADER.size + 1)
            page_size = int.from_bytes(pages.read(_PAGE_SIZE_AT + 2)[_PAGE_SIZE_AT:])
    except OSError as error:
        raise StoreBroken(f"cannot read {path}: {error.strerror}") from error
    if len(header) > _WAL_HEADER.size and not _is_log_header(header[:-1], 65536 if page_size == 1 else page_size):
        raise StoreBroken(f"{path} is damaged or of another database, and may hold accepted tasks; {RESTORE}")


def _is_log_header(header: bytes, page_size: int) -> bool:
    magic, version, pages_of, _, _, _, first, second = _WAL_HEADER.unpack(header)
    if (magic & ~1, version, pages_of) != (_WAL_MAGIC, _WAL_VERSION, page_size):
        return False
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    one = two = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return (one, two) == (first, second)


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreBroken when SQLite finds the database damaged, sqlite3.Error when it cannot check."""
    ((answer,),) = connection.execute("PRAGMA quick_check(1)")
    if answer != "ok":
        raise StoreBroken(damaged(path, answer))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found wrong contents, rather than being unable to read or write now."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def damaged(path: Path, answer: str) -> str:
    """The error line for an answer of `quick_check`."""
    return f"{path} is damaged: {' '.join(answer.split())[:300]}; {RESTORE}"
