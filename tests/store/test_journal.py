"""A rollback journal beside the database: what a crash left is taken back, what is not ours is not touched."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError, StartupError, StoreBroken
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.store import migrate
from quart_app.store.audit import audit
from quart_app.store.sqlite.backup import backup, restore
from tests.store.kit import Sql
from tests.store.test_backup import make, queues

MIGRATIONS = migrate.find("sqlite")


def die_half_way(path: Path, *statements: str) -> None:
    """Leave the database as a kill in the middle of these statements does: pages changed, and a journal of them."""
    alive = path.with_name("alive.db")
    path.rename(alive)
    with closing(sqlite3.connect(alive, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")  # changed pages go to the file before the commit
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        for suffix in ("", "-journal"):
            shutil.copy(f"{alive}{suffix}", f"{path}{suffix}")
        connection.execute("ROLLBACK")
    alive.unlink()
    assert journal_of(path).stat().st_size > 512


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


ALL = (
    "UPDATE tasks SET queue = 'half'",
    "CREATE TABLE filler (text)",
    "INSERT INTO filler WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    " SELECT hex(randomblob(1000)) FROM n",
)


@pytest.fixture
def hot(tmp_path: Path) -> Path:
    """A database of ours with one task, and a journal of a change that was never committed."""
    path = tmp_path / "tasks.db"
    make(path, "whole")
    die_half_way(path, *ALL)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def start_and_stop(path: Path) -> list[str]:
    settings = Settings(data_dir=str(path.parent / "data"), database_url=f"sqlite:///{path}")
    return asyncio.run(Runtime(settings, spawn=lambda *_: None).migrate())


def test_a_start_takes_back_what_a_killed_process_left_half_done(hot: Path) -> None:
    assert start_and_stop(hot) == []
    assert queues(hot) == ["whole"]
    assert not journal_of(hot).exists()
    assert audit(hot).findings == []


def test_a_look_at_it_changes_nothing(hot: Path) -> None:
    before = contents(hot.parent)
    assert migrate.check(hot, MIGRATIONS) is False
    assert migrate.check(hot, MIGRATIONS, only_read=True) is False
    assert audit(hot).findings == []
    backup(hot, hot.with_name("copy.db"))
    assert queues(hot.with_name("copy.db")) == ["whole"]
    after = contents(hot.parent)
    del after["copy.db"]
    assert after == before
    assert [path.name for path in hot.parent.glob(".*")] == []


def test_it_is_found_through_a_link(hot: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(hot)
    assert audit(link).checked["tasks"] == 1


def test_a_first_start_that_was_killed_is_a_first_start_again(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    with closing(sqlite3.connect(path, isolation_level=None)):
        path.touch()
    die_half_way(path, *ALL[1:])
    assert migrate.check(path, MIGRATIONS) is True
    assert len(start_and_stop(path)) == len(MIGRATIONS)
    assert Sql(path)("SELECT name FROM sqlite_master WHERE name = 'filler'") == []


def refused(path: Path, error: type[StartupError], says: str) -> None:
    before = contents(path.parent)
    for _ in range(2):
        with pytest.raises(error, match=says) as caught:
            start_and_stop(path)
        assert len(str(caught.value).splitlines()) == 1
    after = contents(path.parent)
    del after["tasks.db.lock"]
    assert after == before
    assert [path.name for path in path.parent.glob(".*")] == []


def test_another_programs_database_keeps_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    Sql(path)("CREATE TABLE recipes (name TEXT)")
    die_half_way(path, *ALL[1:])
    refused(path, ConfigError, "another program")


def test_another_programs_mark_on_an_empty_database_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    Sql(path)("PRAGMA application_id = 7")
    refused(path, ConfigError, "another program")


def test_the_journal_of_another_database_is_not_written_into_ours(tmp_path: Path) -> None:
    other, path = tmp_path / "other.db", tmp_path / "tasks.db"
    Sql(other)("CREATE TABLE recipes (name TEXT)")
    die_half_way(other, "INSERT INTO recipes SELECT hex(randomblob(3000))", *ALL[1:])
    make(path, "ours")
    journal_of(other).rename(journal_of(path))
    other.unlink()
    refused(path, StartupError, "another program|damaged")


def test_damage_behind_a_journal_is_not_written_to(hot: Path) -> None:
    shutil.copy(hot, hot.with_name("look.db"))
    shutil.copy(journal_of(hot), hot.with_name("look.db-journal"))
    ((page,),) = Sql(hot.with_name("look.db"))("SELECT rootpage FROM sqlite_master WHERE name = 'progress'")
    hot.with_name("look.db").unlink()
    with hot.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xee" * 4096)
    refused(hot, StoreBroken, "damaged")
    copy = hot.with_name("copies")
    copy.mkdir()
    make(copy / "good.db", "good")
    damage, journal = hot.read_bytes(), journal_of(hot).read_bytes()
    kept = restore(hot, copy / "good.db", "then")
    assert kept is not None
    assert (kept.read_bytes(), journal_of(kept).read_bytes()) == (damage, journal)
    assert queues(hot) == ["good"]


@pytest.mark.parametrize("data", [b"", bytes(512), os.urandom(2000)], ids=["empty", "zeros", "garbage"])
def test_a_journal_that_a_power_cut_left_without_its_head_takes_nothing_back(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tasks.db"
    make(path, "whole")
    journal_of(path).write_bytes(data)
    assert start_and_stop(path) == []
    assert queues(path) == ["whole"]


def test_a_restore_keeps_the_database_as_it_was_before_the_half_done_change(hot: Path, tmp_path: Path) -> None:
    make(tmp_path / "good.db", "good")
    kept = restore(hot, tmp_path / "good.db", "then")
    assert kept is not None
    assert (queues(hot), queues(kept)) == (["good"], ["whole"])
    assert not journal_of(hot).exists()


def test_a_backup_with_a_journal_beside_it_can_be_restored(hot: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    restore(tmp_path / "new" / "tasks.db", hot, "then")
    assert queues(tmp_path / "new" / "tasks.db") == ["whole"]
    assert contents(tmp_path) == before


def test_what_a_kill_left_beside_the_database_is_removed_at_the_next_start(hot: Path) -> None:
    folder = hot.with_name(".tasks.db.0a1b2c3d.tmp")
    folder.mkdir()
    (folder / "tasks.db").write_bytes(b"half a copy")
    others = [hot.with_name(name) for name in (".tasks.db.4e5f6a7b.tmp", ".tasks.db.4e5f6a7b.tmp-journal", ".mine.tmp")]
    for path in others:
        path.write_bytes(b"x")
    start_and_stop(hot)
    assert [path.name for path in hot.parent.glob(".*")] == [".mine.tmp"]
