"""Backup and restore of the database file: whole copies, refusals that leave everything alone, kills at any line."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quart_app.core.errors import ConfigError, StoreBroken, StoreBusy
from quart_app.store.sqlite import backup as module
from quart_app.store.sqlite.backup import backup, restore
from quart_app.store.sqlite.lock import FileLock
from quart_app.store.tasks import SqlStore
from tests.store.kit import Bells, Sql, open_database, pending


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "copy.db"


@pytest.fixture(autouse=True)
def folder(copy: Path) -> Iterator[None]:
    """Whatever happens, nothing is left beside the copies and the database but themselves."""
    copy.parent.mkdir()
    yield
    left = {path.name for path in copy.parent.rglob(".*")} | {path.name for path in copy.parent.parent.glob(".*")}
    assert left == set()


def make(path: Path, *queues: str) -> None:
    """A closed database with one task in each of these queues."""

    async def fill() -> None:
        database = await open_database(path, Bells())
        for queue in queues:
            await pending(SqlStore(database, "w", Bells()), queue=queue)
        await database.close()

    asyncio.run(fill())


def die_with_a_wal(path: Path, queue: str) -> None:
    """Move all tasks into this queue and leave that in the -wal, as a killed server does."""
    script = (
        "import os, signal, sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
        "connection.execute('UPDATE tasks SET queue = ?', (sys.argv[2],)); connection.commit();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(path), queue], timeout=60)
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def queues(path: Path) -> list[str]:
    return [queue for (queue,) in Sql(path)("SELECT queue FROM tasks ORDER BY seq")]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def garble(path: Path, at: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(4096))


# --- backup


def test_a_backup_beside_an_open_database_holds_all_that_was_committed(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "q0", "q1")
    with closing(sqlite3.connect(path, isolation_level=None)) as server:
        server.execute("UPDATE tasks SET queue = 'q2' WHERE queue = 'q0'")
        server.execute("BEGIN IMMEDIATE")
        server.execute("UPDATE tasks SET queue = 'not committed'")
        size = backup(path, copy)
    assert copy.stat().st_size == size
    assert names(copy.parent) == {"copy.db"}, "it needs no -wal beside it"
    assert queues(copy) == ["q2", "q1"]
    assert Sql(copy)("PRAGMA integrity_check") == [("ok",)]
    assert copy.stat().st_mode & 0o777 == 0o600


def test_the_wal_that_a_killed_server_left_is_in_the_backup(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "old")
    die_with_a_wal(path, "new")
    backup(path, copy)
    assert queues(copy) == ["new"]


def test_a_backup_replaces_a_file_only_by_force(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "q")
    copy.write_text("precious")
    with pytest.raises(FileExistsError):
        backup(path, copy)
    assert copy.read_text() == "precious"
    backup(path, copy, force=True)
    assert queues(copy) == ["q"]


def test_a_backup_never_replaces_the_database_or_a_folder(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "q")
    copy.symlink_to(path)
    for target in (path, copy, copy.parent):
        with pytest.raises(FileExistsError):
            backup(path, target, force=True)
    assert queues(path) == ["q"]


def test_what_is_no_database_of_ours_is_not_backed_up(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    with pytest.raises(StoreBroken, match="no database"):
        backup(path, copy)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(ConfigError, match="another program"):
        backup(path, copy)
    assert not copy.exists()


def test_a_damaged_database_gives_no_backup(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "q")
    (root,) = Sql(path)("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_status'")[0]
    garble(path, (root - 1) * 4096)
    with pytest.raises(StoreBroken, match="damaged"):
        backup(path, copy)
    assert not copy.exists()


def test_a_backup_into_a_folder_that_is_not_there_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "q")
    with pytest.raises(OSError, match="No such file"):
        backup(path, tmp_path / "nowhere" / "copy.db")


# --- restore


def test_a_restore_puts_the_backup_in_place_and_keeps_the_old_one(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "before")
    backup(path, copy)
    Sql(path)("UPDATE tasks SET queue = 'after'")
    kept = restore(path, copy, "stamp")
    assert kept == tmp_path / "tasks.db.before-stamp"
    assert (queues(path), queues(kept), queues(copy)) == (["before"], ["after"], ["before"])
    assert not path.samefile(kept)


def test_a_restore_works_where_there_is_no_database(tmp_path: Path, copy: Path) -> None:
    make(copy, "q")
    path = tmp_path / "new" / "tasks.db"  # its folder is made too
    assert restore(path, copy, "stamp") is None
    assert queues(path) == ["q"]


def test_what_the_old_wal_held_is_kept_and_not_replayed_into_the_new_database(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "before")
    backup(path, copy)
    die_with_a_wal(path, "in the wal")
    kept = restore(path, copy, "stamp")
    assert kept is not None
    assert (queues(path), queues(kept)) == (["before"], ["in the wal"])


def test_a_damaged_database_is_moved_aside_with_its_wal(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "good")
    backup(path, copy)
    garble(path)
    damage = path.read_bytes()
    path.with_name("tasks.db-wal").write_bytes(b"wal")
    kept = restore(path, copy, "stamp")
    assert kept is not None
    assert kept.read_bytes() == damage
    assert Path(f"{kept}-wal").read_bytes() == b"wal"
    assert queues(path) == ["good"]


def test_a_restore_beside_a_server_is_refused_and_names_it(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "old")
    make(copy, "new")
    lock = FileLock(path)
    lock.acquire()
    try:
        with pytest.raises(StoreBusy, match=str(os.getpid())):
            restore(path, copy, "stamp")
    finally:
        lock.release()
    assert queues(path) == ["old"]


def test_a_restore_beside_a_reader_is_refused_and_changes_nothing(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "old")
    make(copy, "new")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tasks")
        with pytest.raises(StoreBusy, match="reads"):
            restore(path, copy, "stamp")
    assert queues(path) == ["old"]
    assert not list(tmp_path.glob("*before*"))


def test_only_a_sound_backup_of_ours_is_restored(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "old")
    foreign, newer, noise, empty = (copy.with_name(name) for name in ("foreign", "newer", "noise", "empty"))
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    make(newer, "new")
    Sql(newer)("INSERT INTO migrations VALUES (9999, 'from_the_future', 'x', 0)")
    make(copy, "new")
    (root,) = Sql(copy)("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_status'")[0]
    garble(copy, (root - 1) * 4096)
    noise.write_bytes(os.urandom(20_000))
    empty.touch()
    for source, error, words in (
        (foreign, ConfigError, "another program"),
        (newer, ConfigError, "newer"),
        (path, ConfigError, "itself"),
        (copy, StoreBroken, "damaged"),
        (noise, StoreBroken, "damaged"),
        (empty, StoreBroken, "empty"),
        (copy.with_name("nothing"), StoreBroken, "not exist"),
    ):
        with pytest.raises(error, match=words) as raised:
            restore(path, source, "stamp")
        assert "python -m" not in str(raised.value), "no advice to restore what cannot be restored"
    assert queues(path) == ["old"]
    assert not list(tmp_path.glob("*before*"))


def test_a_file_that_appears_while_the_copy_is_made_is_not_replaced(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "tasks.db", "q")

    def copied(source: Path, temporary: Path) -> None:
        real(source, temporary)
        copy.write_text("precious")

    real = module._copy
    monkeypatch.setattr(module, "_copy", copied)
    with pytest.raises(FileExistsError, match="exists"):
        backup(tmp_path / "tasks.db", copy)
    assert copy.read_text() == "precious"
    backup(tmp_path / "tasks.db", copy, force=True)
    assert queues(copy) == ["q"]


def test_a_new_backup_has_one_name(tmp_path: Path, copy: Path) -> None:
    make(tmp_path / "tasks.db", "q")
    backup(tmp_path / "tasks.db", copy)
    assert copy.stat().st_nlink == 1


def last_numbers(path: Path) -> dict[str, int]:
    return dict(Sql(path)("SELECT name, seq FROM sqlite_sequence"))


@pytest.mark.parametrize("damage", ["", "UPDATE sqlite_sequence SET seq = 9223372036854775807"])
def test_numbers_that_were_given_out_are_not_given_out_again(tmp_path: Path, copy: Path, damage: str) -> None:
    path = tmp_path / "tasks.db"
    make(path, "before")
    backup(path, copy)
    make(path, "q1", "q2", "q3")
    given = last_numbers(path)
    assert given["events"] > last_numbers(copy)["events"]
    if damage:
        Sql(path)(damage)  # numbers end there: it can only be wrong
    restore(path, copy, "stamp")
    assert last_numbers(path) == (last_numbers(copy) if damage else given)
    make(path, "after")
    assert (max(Sql(path)("SELECT seq FROM events")) > (given["events"],)) is not bool(damage)


def test_a_restore_of_a_newer_backup_keeps_its_numbers(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "before")
    make(copy, "q1", "q2", "q3")
    given = last_numbers(copy)
    restore(path, copy, "stamp")
    assert last_numbers(path) == given


def test_the_numbers_of_a_damaged_database_are_read_as_far_as_they_can_be(tmp_path: Path, copy: Path) -> None:
    path = tmp_path / "tasks.db"
    make(path, "before")
    backup(path, copy)
    make(path, "q1", "q2", "q3")
    given = last_numbers(path)
    (root,) = Sql(path)("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_status'")[0]
    garble(path, (root - 1) * 4096)
    restore(path, copy, "stamp")
    assert last_numbers(path) == given
