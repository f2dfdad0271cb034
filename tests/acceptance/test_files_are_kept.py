"""Files that the database does not know: those of others stay, and those of a database that is restored."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.harness import Server, until


def upload(server: Server, data: bytes) -> Path:
    """Where the file is."""
    before = set((server.data / "uploads").glob("*"))
    answer = server.client.post("/uploads", files={"file": ("a.txt", data)})
    assert answer.status_code == 201, answer.text
    (made,) = set((server.data / "uploads").glob("*")) - before
    return made


def one_life(server: Server) -> None:
    """Start, let the upkeep look at the files, and stop."""
    server.start().wait_ready()
    left = server.data / "uploads" / ("0" * 32)
    until(lambda: not left.exists(), "the removal of what an upload left")
    assert server.sigterm() == 0


def leave_an_orphan(server: Server, at: float) -> None:
    left = server.data / "uploads" / ("0" * 32)
    left.write_bytes(b"x")
    os.utime(left, (at, at))


def test_files_of_others_in_the_folder_stay(server: Server) -> None:
    folder = server.data / "uploads"
    (folder / "notes").mkdir(parents=True)
    (folder / "contract.pdf").write_bytes(b"mine")
    server.start().wait_ready()
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.sigterm() == 0
    leave_an_orphan(server, 1)
    one_life(server)
    assert (folder / "contract.pdf").read_bytes() == b"mine"
    assert (folder / "notes").is_dir()
    assert "Traceback" not in server.stderr


def test_a_restore_can_be_undone_with_the_files_of_what_came_after_the_backup(server: Server, tmp_path: Path) -> None:
    server.start().wait_ready()
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.sigterm() == 0
    assert server.command("backup", str(tmp_path / "old.db")).returncode == 0
    server.start().wait_ready()
    kept = upload(server, b"after the backup")
    assert server.sigterm() == 0
    assert server.command("restore", str(tmp_path / "old.db")).returncode == 0
    leave_an_orphan(server, 1)
    one_life(server)
    assert kept.read_bytes() == b"after the backup"
    assert "are newer than the database and are kept" in server.log
    (aside,) = server.data.glob("tasks.db.before-*")
    assert server.command("restore", str(aside)).returncode == 0
    leave_an_orphan(server, 1)
    one_life(server)
    assert kept.read_bytes() == b"after the backup"
