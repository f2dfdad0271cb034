"""A migrated database without a row, to copy: making one takes longer than most tests of what is in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from quart_app.store import migrate
from quart_app.store.sqlite.database import Database
from tests.clock import START

_made: list[bytes] = []
"""The file, once there is one."""


async def copy_to(path: Path) -> None:
    """Put one there, unless there is a database."""
    if not _made:
        _made.append(await _make())
    _write(path, _made[0])


async def _make() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "tasks.db", "NORMAL", print)
        await migrate.apply(await database.connect(), migrate.find("sqlite"), START)
        await database.close()  # its log is in the file now
        return _read(Path(folder) / "tasks.db")


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    if not path.exists():
        path.write_bytes(content)
