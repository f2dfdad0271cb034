"""What `check` reads of a database: it changes nothing, and works beside a running server."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

from quart_app.core.errors import StoreBroken
from quart_app.store import migrate, statements
from quart_app.store.sqlite import journal

MOST: Final = 10_000  # schedules


class StoredSchedule(msgspec.Struct, frozen=True):
    """A schedule of the store; `key` is its name, behind the owner and a slash where there is an owner."""

    key: str
    kind: str
    source: str
    args: str
    paused: bool
    next_at: int | None
    last_error: str | None


class Stored(msgspec.Struct, frozen=True):
    """`unfinished`: how many tasks of each kind have not ended. `old`: the schema is an earlier one, so nothing was
    read."""

    unfinished: dict[str, int] = {}
    schedules: list[StoredSchedule] = []
    old: bool = False


def look(path: Path) -> Stored | None:
    """None: there is no database at `path`. Raises StoreBroken, and ConfigError when it is not a database of quart_app,
    or of a newer version."""
    migrations = migrate.find("sqlite")
    if migrate.check(path, migrations, only_read=True):
        return None
    texts = {name: one.text for name, one in statements.load("sqlite", ("check",)).items()}
    try:
        with (
            journal.recovered(path, beside=False) as found,
            contextlib.closing(
                sqlite3.connect(f"{found.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            ) as connection,
        ):
            connection.execute("PRAGMA query_only = ON")
            if connection.execute("PRAGMA user_version").fetchone()[0] < max(one.version for one in migrations):
                return Stored(old=True)
            unfinished = connection.execute(texts["unfinished_kinds"]).fetchall()
            schedules = connection.execute(texts["stored_schedules"], {"limit": MOST}).fetchall()
    except (OSError, sqlite3.Error) as error:
        raise StoreBroken(f"cannot read {path}: {error}") from error
    return Stored(
        dict(unfinished),
        [
            StoredSchedule(key, kind, source, args, bool(paused), next_at, last_error)
            for key, kind, source, args, paused, next_at, last_error in schedules
        ],
    )
