"""Applies `migrations/<dialect>/*.sql` in order, each file and its record in one transaction. A database with an edited
or newer migration is refused before anything is written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.store.sqlite import integrity, journal

APPLICATION_ID: Final = 0x51415050  # "QAPP"
_FILE: Final = re.compile(r"^([0-9]{4})_([a-z0-9_]+)\.sql$")

_WRONG: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})

_TABLE: Final = """CREATE TABLE IF NOT EXISTS migrations (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"""


class Connection(Protocol):
    """What a migration needs of a database connection in autocommit mode."""

    async def execute_fetchall(self, sql: str, parameters: Iterable[Any] | None = None) -> Iterable[Any]: ...


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    checksum: str
    text: str


def find(dialect: str) -> list[Migration]:
    """The migrations of this version: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    for root in (package / "migrations", package.parent / "migrations"):
        if (root / dialect).is_dir():
            return [
                _read(path, match) for path in sorted((root / dialect).iterdir()) if (match := _FILE.match(path.name))
            ]
    raise ConfigError(f"no migrations for {dialect} are installed with quart_app")


def check(path: Path, migrations: list[Migration], only_read: bool = False) -> bool:
    """Check a database file without changing a byte of it. True when it is new (absent or empty). The pages of a large
    database are not checked. `only_read`: for reading or copying it, perhaps while a server writes it: do not check
    whether it can be written and whether its pages are sound.

    Raises StoreBroken (unreadable, damaged) or ConfigError (a directory, another program's, newer, or edited
    migrations).
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a directory, not a database")
    try:
        if not path.exists() or path.stat().st_size == 0:
            return True
        if not path.is_file():
            raise StoreBroken(f"{path} is not a regular file")
        if not only_read:
            if not os.access(path, os.W_OK):  # SQLite opens such a file without an error, and fails at the first task
                raise StoreBroken(f"cannot write {path}: the file is read-only")
            integrity.check_log(path)
        with journal.recovered(path, beside=not only_read) as found:
            return _check_file(found, path, migrations, only_read)
    except (OSError, sqlite3.Error) as error:
        raise StoreBroken(f"cannot read {path}: {error}") from error


def _check_file(found: Path, path: Path, migrations: list[Migration], only_read: bool) -> bool:
    """`found`: the file from which the contents of `path` can be read."""
    connection = sqlite3.connect(f"{found.absolute().as_uri()}?mode=ro", uri=True)
    try:
        new = _check_contents(connection, path, migrations)
        if not only_read and found.stat().st_size <= integrity.AT_ONCE_BYTES:
            integrity.check_pages(connection, path)
        return new
    except sqlite3.Error as error:
        if not integrity.is_damage(error):
            raise
        raise StoreBroken(f"{path} is damaged or no database: {error}; {integrity.RESTORE}") from error
    finally:
        connection.close()


def _check_contents(connection: sqlite3.Connection, path: Path, migrations: list[Migration]) -> bool:
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if mark != APPLICATION_ID and not (empty and mark == 0):
        raise ConfigError(f"{path} belongs to another program")
    if empty:
        return True
    known = {migration.version: migration for migration in migrations}
    for version, name, checksum in connection.execute(
        "SELECT version, name, checksum FROM migrations ORDER BY version"
    ):
        if version not in known:
            raise ConfigError(f"{path} has schema {version} ({name}), newer than this quart_app knows ({max(known)})")
        if known[version].checksum != checksum:
            raise ConfigError(
                f"migration {version:04d}_{known[version].name}.sql was edited after it was applied to {path}"
            )
    return False


async def apply(connection: Connection, migrations: list[Migration], now: int) -> list[str]:
    """Bring the schema up to date. Returns the names of the applied migrations. A kill at any point leaves the whole
    old or the whole new schema. Raises ConfigError when a file is wrong, StoreBroken when the database or its disk
    refuses."""
    try:
        await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID}")
        await connection.execute_fetchall(_TABLE)
        done = {row[0] for row in await connection.execute_fetchall("SELECT version FROM migrations")}
    except sqlite3.Error as error:
        raise StoreBroken(f"cannot use the database: {error}") from error
    applied = []
    for migration in migrations:
        if migration.version in done:
            continue
        try:
            await connection.execute_fetchall("BEGIN IMMEDIATE")
            for statement in split(migration.text):
                await connection.execute_fetchall(statement)
            await connection.execute_fetchall(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum, now),
            )
            await connection.execute_fetchall(f"PRAGMA user_version = {migration.version}")
            await connection.execute_fetchall("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back already, e.g. when the disk is full
                await connection.execute_fetchall("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                line = f"migration {migration.version:04d}_{migration.name}.sql failed: {error}"
                raise (ConfigError(line) if _is_wrong(error) else StoreBroken(line)) from error
            raise
        applied.append(f"{migration.version:04d}_{migration.name}")
    return applied


def _is_wrong(error: sqlite3.Error) -> bool:
    """Whether the text of the migration (or the existing rows) caused the error, rather than the disk."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _WRONG


def split(text: str) -> list[str]:
    """The statements of a file. `complete_statement` knows that a trigger's body has semicolons."""
    found = []
    begun = ""
    for line in text.splitlines(keepends=True):
        if not begun and (not line.strip() or line.startswith("--")):
            continue
        begun += line
        if sqlite3.complete_statement(begun):
            found.append(begun.strip())
            begun = ""
    if begun.strip():
        raise ConfigError(f"a migration ends inside a statement: {begun.strip()[:60]!r}")
    return found


def _read(path: Path, match: re.Match[str]) -> Migration:
    text = path.read_text("utf-8")
    return Migration(int(match[1]), match[2], hashlib.sha256(text.encode()).hexdigest(), text)
