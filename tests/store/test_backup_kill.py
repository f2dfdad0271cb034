"""SIGKILL at every line of a backup and of a restore: the old file or the new one, whole, under its name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quart_app.store.sqlite.backup import backup, restore
from tests.store.kit import Sql
from tests.store.test_backup import die_with_a_wal, garble, make, queues

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def killed(folder: Path, what: str) -> list[Path]:
    """The folders that the killed children left; the last is that of the one which got through."""
    command = [sys.executable, "-m", "tests.store.kill_while_copying", str(folder), what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [folder / str(number) for number in range(int(done.stdout) + 1)]


def test_a_kill_at_any_line_of_a_backup_leaves_the_old_or_the_new_copy(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    make(start / "tasks.db", "new")
    make(start / "copy.db", "old")
    folders = killed(tmp_path, "backup")
    assert len(folders) > 20, "the kills must have hit the lines of the backup"
    seen = [queues(folder / "copy.db") for folder in folders]
    assert all(Sql(folder / "tasks.db")("PRAGMA integrity_check") == [("ok",)] for folder in folders)
    assert sorted(seen, reverse=True) == seen, "once new, always new"
    assert seen[0] == ["old"]
    assert seen[-1] == ["new"]


@pytest.mark.parametrize("old", ["sound", "damaged", "none"])
def test_a_kill_at_any_line_of_a_restore_leaves_the_old_or_the_new_database(tmp_path: Path, old: str) -> None:
    start = tmp_path / "start"
    start.mkdir()
    database = start / "tasks.db"
    make(start / "copy.db", "new")
    if old != "none":
        make(database, "old")
        die_with_a_wal(database, "old and in the wal")
    if old == "damaged":
        garble(database)
    damage = database.read_bytes() if old == "damaged" else b""
    folders = killed(tmp_path, "restore")
    assert len(folders) > 20, "the kills must have hit the lines of the restore"
    ends = set()
    for folder in folders:
        path = folder / "tasks.db"
        if old == "none" and not path.exists():
            ends.add("old")
        elif old == "damaged" and path.read_bytes()[:4096] == damage[:4096]:
            ends.add("old")
            wals = {path.name for path in folder.glob("*-wal")}
            assert wals & {"tasks.db-wal", "tasks.db.before-then-wal"}, "what there is of the old one is still there"
        else:
            (queue,) = queues(path)
            assert queue in ("old and in the wal", "new")
            assert Sql(path)("PRAGMA integrity_check") == [("ok",)]
            ends.add(queue.split()[0])
            if queue == "new" and old == "sound":
                assert queues(folder / "tasks.db.before-then") == ["old and in the wal"]
    assert ends == {"old", "new"}
    # The next try ends what the killed ones began.
    again = tmp_path / "again"
    shutil.copytree(folders[len(folders) // 2], again)
    restore(again / "tasks.db", again / "copy.db", "later")
    assert queues(again / "tasks.db") == ["new"]
    assert not list(again.glob(".*"))


def test_a_leftover_of_a_killed_backup_is_in_nobodys_way(tmp_path: Path) -> None:
    make(tmp_path / "tasks.db", "q")
    (tmp_path / ".copy.db.0000.tmp").write_text("half")
    backup(tmp_path / "tasks.db", tmp_path / "copy.db")
    assert queues(tmp_path / "copy.db") == ["q"]
