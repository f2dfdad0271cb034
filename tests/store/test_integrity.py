"""What lies on the disk is looked at before anything may write: refused, and not a byte of it changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.store import migrate
from quart_app.store.sqlite import integrity
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.engine.engine import until
from tests.store.kit import Bells, new_task, open_database

MIGRATIONS = migrate.find("sqlite")


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """A database whose server died: its last commits are in the log alone."""
    await (await open_database(tmp_path / "alive.db", Bells())).close()  # the schema is in the database itself
    alive = await open_database(tmp_path / "alive.db", Bells())
    await SqlStore(alive, "w", Bells()).enqueue([new_task() for _ in range(50)])
    path = tmp_path / "tasks.db"
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"alive.db{end}", f"{path}{end}")
    await alive.close()
    assert log_of(path).stat().st_size > 4096
    return path


def log_of(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def refused(path: Path, error: type[Exception] | tuple[type[Exception], ...] = StoreBroken) -> str:
    """The line that refuses the database, of which nothing has changed."""
    files = [file for file in (path, log_of(path)) if file.is_file()]
    before = [file.read_bytes() for file in files]
    with pytest.raises(error) as caught:
        migrate.check(path, MIGRATIONS)
    assert [file.read_bytes() for file in files] == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_log_with_commits_is_read_and_left_as_it_is(killed: Path) -> None:
    before = [killed.read_bytes(), log_of(killed).read_bytes()]
    assert migrate.check(killed, MIGRATIONS) is False
    assert [killed.read_bytes(), log_of(killed).read_bytes()] == before


@pytest.mark.parametrize("at", range(0, 32, 4))
def test_a_log_whose_header_is_damaged_in_any_word_is_refused(killed: Path, at: int) -> None:
    overwrite(log_of(killed), at, bytes(byte ^ 0x10 for byte in log_of(killed).read_bytes()[at : at + 4]))
    assert "-wal" in (line := refused(killed))
    assert "restore" in line


@pytest.mark.parametrize("data", [os.urandom(20_000), bytes(20_000), b"SQLite format 3\0" * 1000])
def test_a_log_of_garbage_is_refused(killed: Path, data: bytes) -> None:
    log_of(killed).write_bytes(data)
    assert "-wal" in refused(killed)


@pytest.mark.parametrize("size", [0, 1, 31, 32])
def test_a_log_without_a_frame_holds_nothing_that_could_be_lost(killed: Path, size: int) -> None:
    # A power cut while the log was made leaves this.
    log_of(killed).write_bytes(bytes(size))
    assert migrate.check(killed, MIGRATIONS) is False


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_log_that_is_no_file_is_refused(killed: Path, make: Callable[[Path], None]) -> None:
    log_of(killed).unlink()
    make(log_of(killed))
    assert "not a regular file" in refused(killed)


@pytest.mark.parametrize("page_size", [4096, 1024])
def test_a_log_of_another_programs_database_is_refused_and_never_written_into_ours(
    killed: Path, tmp_path: Path, page_size: int
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as other:
        other.execute(f"PRAGMA page_size = {page_size}")
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE recipes (name TEXT)")
        shutil.copy(tmp_path / "other.db-wal", log_of(killed))
    refused(killed, (StoreBroken, ConfigError))


def root_of(path: Path, table: str) -> int:
    """Where the first page of the table begins."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
    return (int(page) - 1) * 4096


def test_damage_in_the_database_is_found_before_its_log_is_written_into_it(killed: Path) -> None:
    overwrite(killed, root_of(killed, "progress"), b"\xee" * 4096)
    assert "restore" in refused(killed)


# --- a large database, which is checked while it is served


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE_BYTES", 0)


@asynccontextmanager
async def served(path: Path, bells: Bells) -> AsyncIterator[Database]:
    database = await open_database(path, bells)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.usefixtures("all_are_large")
async def test_damage_in_a_large_database_is_declared_while_it_is_served(killed: Path, bells: Bells) -> None:
    overwrite(killed, root_of(killed, "progress"), b"\xee" * 4096)
    assert migrate.check(killed, MIGRATIONS) is False
    async with served(killed, bells):
        await until(lambda: bells.heard, "a word about the damage")
    ((word, reason),) = bells.take()
    assert word == "broken"
    assert "restore" in reason


@pytest.mark.usefixtures("all_are_large")
async def test_a_sound_large_database_is_checked_to_its_end(
    killed: Path, bells: Bells, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with served(killed, bells):
        await until(lambda: "checked the pages" in caplog.text, "the end of the check")
    assert bells.heard == []


@pytest.mark.usefixtures("all_are_large")
async def test_closing_in_the_middle_of_the_check_leaves_nothing_behind(
    killed: Path, bells: Bells, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(killed)) as connection, connection:
        connection.execute(
            "INSERT INTO steps WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            " SELECT 1, i, 'step', 1, 1, 1, 20, hex(randomblob(10)) FROM n"
        )
    before = set(threading.enumerate())
    async with served(killed, bells) as database:
        await until(lambda: database._checker is not None, "the beginning of the check")
    assert (bells.heard, [record for record in caplog.records if record.levelname == "WARNING"]) == ([], [])
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before
