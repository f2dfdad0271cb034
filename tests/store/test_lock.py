"""One file, one server: the lock is the kernel's, so it names a living holder or it is free."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from quart_app.core.errors import StoreBroken, StoreBusy
from quart_app.store.lock import FileLock

ROOT = Path(__file__).parents[2]

HOLD = """
import subprocess, sys
from pathlib import Path
from quart_app.core.errors import StoreBusy
from quart_app.store.lock import FileLock
lock = FileLock(Path(sys.argv[1]))
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
