"""Opening a file: new, ours, older, newer, edited, somebody else's, damaged. What is refused is left as it was."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError, StartupError, StoreBroken
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.store import migrate
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import WriterConnection
from tests.store.kit import T
from tests.store.migrations import SECOND, first_and, schema_of


async def open_and_close(path: Path) -> list[str]:
    """What a server does with the file at its start; the names of the migrations it applied."""
    settings = Settings(data_dir=str(path.parent / "data"), database_url=f"sqlite:///{path}")
    return await Runtime(settings, spawn=lambda *_: None).migrate()


@asynccontextmanager
async def writer(path: Path) -> AsyncIterator[migrate.Connection]:
    """The writing connection alone."""
    database = Database(path, "FULL", print)
    connection = await database.connect()
    try:
        yield connection
    finally:
        await database.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change(path: Path, *statements: str) -> None:
    """Another program's hand. Leaves no -wal behind, so that the file alone is the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def test_an_absent_file_becomes_a_database_of_ours(database_path: Path) -> None:
    names = [f"{one.version:04d}_{one.name}" for one in migrate.find("sqlite")]
    assert await open_and_close(database_path) == names
    with closing(sqlite3.connect(database_path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (migrate.APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (int(names[-1][:4]),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_new_database_is_for_its_owner_only(database_path: Path) -> None:
    await open_and_close(database_path)
    assert os.stat(database_path).st_mode & 0o077 == 0  # noqa: PTH116


def empty(path: Path) -> None:
    path.write_bytes(b"")


async def test_an_empty_file_is_a_new_database(database_path: Path) -> None:
    empty(database_path)
    assert await open_and_close(database_path)


async def test_a_second_start_applies_nothing_and_keeps_the_schema(database_path: Path) -> None:
    await open_and_close(database_path)
    before = schema_of(database_path)
    assert await open_and_close(database_path) == []
    assert schema_of(database_path) == before


async def test_an_older_schema_is_brought_up_to_date_with_its_rows(database_path: Path) -> None:
    async with writer(database_path) as connection:
        await migrate.apply(connection, migrate.find("sqlite")[:1], T)
    change(database_path, "UPDATE probe SET n = 77")
    async with writer(database_path) as connection:
        assert await migrate.apply(connection, first_and(SECOND), T) == ["0002_more"]
    with closing(sqlite3.connect(database_path)) as connection:
        assert connection.execute("SELECT n, note FROM probe").fetchall() == [(77, "new")]
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT version, name FROM migrations").fetchall() == [(1, "tasks"), (2, "more")]


def edited(path: Path) -> None:
    change(path, "UPDATE migrations SET checksum = 'other'")


def newer(path: Path) -> None:
    change(path, "INSERT INTO migrations VALUES (9999, 'future', 'x', 1)", "PRAGMA user_version = 9999")


def foreign(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')", "PRAGMA application_id = 7")


def foreign_without_a_mark(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE migrations (version, name, checksum)", "CREATE TABLE tasks (id)")


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def cut_off(path: Path) -> None:
    change(path, "VACUUM")
    path.write_bytes(path.read_bytes()[:20_000])


def garbage_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"\xee" * 4096
    path.write_bytes(data)


def text(path: Path) -> None:
    path.write_text("-- this is no database\n" * 100)


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (edited, ConfigError, "was edited after it was applied"),
        (newer, ConfigError, "has schema 9999 (future), newer than"),
        (foreign, ConfigError, "belongs to another program"),
        (foreign_without_a_mark, ConfigError, "belongs to another program"),
        (random_bytes, StoreBroken, "damaged or no database"),
        (cut_off, StoreBroken, "damaged"),
        (garbage_page, StoreBroken, "damaged"),
        (text, StoreBroken, "damaged or no database"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_file_we_cannot_work_with_is_refused_and_not_a_byte_of_it_changes(
    database_path: Path, damage: Callable[[Path], None], error: type[StartupError], says: str
) -> None:
    await open_and_close(database_path)
    damage(database_path)
    before = digest(database_path)
    with pytest.raises(error) as caught:
        await open_and_close(database_path)
    assert says in str(caught.value)
    assert str(database_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (74 if error is StoreBroken else 78)
    assert digest(database_path) == before
    # SQLite itself leaves an empty -wal behind a reader of a file in WAL mode.
    beside = [path for path in database_path.parent.iterdir() if path.name.endswith(("-wal", "-journal"))]
    assert sum(path.stat().st_size for path in beside) == 0
    with pytest.raises(error):
        await open_and_close(database_path)


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def circle_of_links(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "code"), [(directory, 78), (pipe, 74), (circle_of_links, 74)], ids=["directory", "pipe", "circle of links"]
)
async def test_what_is_no_file_is_refused_and_not_waited_for(
    database_path: Path, make: Callable[[Path], None], code: int
) -> None:
    make(database_path)
    with pytest.raises(StartupError) as caught:
        await open_and_close(database_path)
    assert caught.value.exit_code == code


async def test_a_refused_file_is_not_kept_locked(database_path: Path) -> None:
    text(database_path)
    with pytest.raises(StoreBroken):
        await open_and_close(database_path)
    empty(database_path)
    assert await open_and_close(database_path)


async def test_a_migration_that_does_not_run_leaves_the_old_schema_and_names_its_file(database_path: Path) -> None:
    bad = migrate.Migration(2, "bad", "x", "CREATE TABLE half (a);\nCREATE TABLE half (a);\n")
    async with writer(database_path) as connection:
        await migrate.apply(connection, migrate.find("sqlite")[:1], T)
        before = schema_of(database_path)
        with pytest.raises(ConfigError, match=r"0002_bad\.sql failed: table half already exists"):
            await migrate.apply(connection, first_and(bad), T)
        assert schema_of(database_path) == before
        assert await migrate.apply(connection, first_and(SECOND), T) == ["0002_more"], "and it can still go on"


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, factory=WriterConnection)


def test_the_migrations_are_numbered_without_gaps_and_their_statements_are_whole() -> None:
    found = migrate.find("sqlite")
    assert [one.version for one in found] == list(range(1, len(found) + 1))
    for one in found:
        assert all(sqlite3.complete_statement(statement) for statement in migrate.split(one.text))
        with closing(memory()) as whole, closing(memory()) as split:
            for earlier in found[: one.version]:
                whole.executescript(earlier.text)
                for statement in migrate.split(earlier.text):
                    split.execute(statement)
            master = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
            assert whole.execute(master).fetchall() == split.execute(master).fetchall()


def test_a_file_that_ends_inside_a_statement_is_refused() -> None:
    with pytest.raises(ConfigError, match="ends inside a statement"):
        migrate.split("CREATE TABLE a (b);\nCREATE TABLE c (")
    assert migrate.split("-- only a comment\n\n") == []
