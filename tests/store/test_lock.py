"""One file, one server: the lock is the kernel's, so it names a living holder or it is free."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from quart_app.core.errors import ConfigError, StoreBroken, StoreBusy
from quart_app.store.sqlite.lock import FileLock, holder

ROOT = Path(__file__).parents[2]

HOLD = """
import subprocess, sys
from pathlib import Path
from quart_app.core.errors import StoreBusy
from quart_app.store.sqlite.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
if sys.argv[2:] == ["removed"]:
    Path(sys.argv[1] + ".lock").unlink()
    sys.argv.pop()
try:
    lock.acquire()
except StoreBusy:
    print("busy", flush=True)
else:
    if sys.argv[2:]:
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
        print(child.pid, flush=True)
    print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(database: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that tries to take the lock and then waits until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_refused_with_the_pid_of_the_first(database_path: Path) -> None:
    with another_process(database_path) as holder:
        assert said(holder) == "held"
        with pytest.raises(StoreBusy, match=rf"process {holder.pid} already serves {database_path};") as caught:
            FileLock(database_path).acquire()
        assert caught.value.exit_code == 75


def test_kill_9_frees_the_lock_at_once(database_path: Path) -> None:
    with another_process(database_path) as holder:
        assert said(holder) == "held"
        holder.kill()
        holder.wait()
        lock = FileLock(database_path)
        lock.acquire()
        lock.release()


def test_a_child_that_outlives_its_killed_parent_does_not_hold_the_lock(database_path: Path) -> None:
    with another_process(database_path, "with a child") as holder:
        child = int(said(holder))
        assert said(holder) == "held"
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # it lives
        FileLock(database_path).acquire()


def test_of_many_that_start_together_one_wins(database_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(another_process(database_path)) for _ in range(5)]
        assert sorted(said(process) for process in processes) == ["busy"] * 4 + ["held"]


def test_a_lock_is_free_again_after_its_release_and_releasing_twice_is_no_error(database_path: Path) -> None:
    first, second = FileLock(database_path), FileLock(database_path)
    first.acquire()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} "):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_refused_process_leaves_the_holders_name_in_place(database_path: Path) -> None:
    with another_process(database_path) as holder:
        assert said(holder) == "held"
        for _ in range(3):
            with pytest.raises(StoreBusy, match=f"process {holder.pid} "):
                FileLock(database_path).acquire()


def test_what_a_dead_holder_left_in_the_file_does_not_matter(database_path: Path) -> None:
    path = database_path.with_name("tasks.db.lock")
    path.write_bytes(b'{"pid":1,"boot_id":"x","started_at":0}' + b"\x00junk" * 100)
    lock = FileLock(database_path)
    lock.acquire()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} "):
        FileLock(database_path).acquire()
    lock.release()


def test_a_lock_file_is_for_its_owner_only(database_path: Path) -> None:
    lock = FileLock(database_path)
    lock.acquire()
    assert database_path.with_name("tasks.db.lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_lock_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match=r"cannot write .*tasks\.db\.lock"):
        FileLock(tmp_path / "absent" / "tasks.db").acquire()


# --- what people do to the files


@pytest.fixture
def held(database_path: Path) -> Iterator[FileLock]:
    """The lock of a database that exists."""
    database_path.write_bytes(b"as good as a database")
    lock = FileLock(database_path)
    lock.acquire()
    yield lock
    lock.release()


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: only the lock file keeps others out here")


@needs_linux
def test_without_its_lock_file_a_database_is_still_held(database_path: Path, held: FileLock) -> None:
    with another_process(database_path, "removed") as second:
        assert said(second) == "busy"
    database_path.with_name("tasks.db.lock").unlink()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()} already serves {database_path};"):
        FileLock(database_path).acquire()
    held.release()
    with another_process(database_path) as second:
        assert said(second) == "held"


@needs_linux
def test_a_database_that_was_made_under_the_lock_is_held_too(database_path: Path) -> None:
    lock = FileLock(database_path)
    lock.acquire()
    database_path.write_bytes(b"new")
    lock.hold_database()
    with another_process(database_path, "removed") as second:
        assert said(second) == "busy"
    lock.release()


@needs_linux
def test_a_refusal_in_the_holders_own_process_drops_none_of_its_sqlite_locks(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n)")
    lock = FileLock(path)
    lock.acquire()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("SELECT * FROM t").fetchall()
        before = _locks_on(path)
        path.with_name("tasks.db.lock").unlink()
        with pytest.raises(StoreBusy):
            FileLock(path).acquire()
        assert _locks_on(path) == before
        assert {line.split()[1] for line in before} == {"FLOCK", "POSIX"}
    lock.release()
    assert _locks_on(path) == []


def _locks_on(path: Path) -> list[str]:
    """Lines of the kernel's list, without their numbers."""
    lines = Path("/proc/locks").read_text().splitlines()
    return sorted(f"_ {line.partition(' ')[2]}" for line in lines if f":{path.stat().st_ino} " in line)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_lock_file_that_is_gone_is_put_back(database_path: Path, held: FileLock, how: str) -> None:
    path = database_path.with_name("tasks.db.lock")
    kept = path.read_bytes()
    path.unlink()
    if how == "replaced":
        path.write_bytes(b"")
    held.renew()
    assert msgspec.json.decode(path.read_bytes())["pid"] == msgspec.json.decode(kept)["pid"] == os.getpid()
    with another_process(database_path) as second:
        assert said(second) == "busy"
    inode = path.stat().st_ino
    held.renew()
    assert path.stat().st_ino == inode


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.symlink_to("precious")


def a_second_name(path: Path) -> None:
    path.hardlink_to(path.with_name("precious"))


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [a_pipe, a_link, a_second_name, a_folder, a_socket])
def test_what_is_no_lock_file_is_78_and_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    precious = Path("precious")
    precious.write_text("precious")
    make(Path("tasks.db.lock"))
    with pytest.raises(ConfigError, match=r"^tasks.db.lock is not a plain file; remove it$") as caught:
        FileLock(Path("tasks.db")).acquire()
    assert caught.value.exit_code == 78
    assert holder(Path("tasks.db")) == "another process"
    assert precious.read_text() == "precious"


def test_a_database_with_a_second_name_is_78_under_both(database_path: Path) -> None:
    database_path.write_bytes(b"as good as a database")
    second = database_path.with_name("second.db")
    second.hardlink_to(database_path)
    for path in (database_path, second):
        with pytest.raises(ConfigError, match=rf"^{path} has a second name \(a hard link\)") as caught:
            FileLock(path).acquire()
        assert caught.value.exit_code == 78
    second.unlink()
    # What a restore that was killed has left.
    database_path.with_name("tasks.db.before-then").hardlink_to(database_path)
    lock = FileLock(database_path)
    lock.acquire()
    lock.release()
