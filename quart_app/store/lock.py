"""One file, one server: an exclusive flock beside the database. The kernel frees it at kill -9, so holding it proves
that nobody else runs these tasks."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from quart_app.core.errors import StoreBroken, StoreBusy


class Holder(msgspec.Struct):
    """What the lock file says of the process that holds it."""

    pid: int
    boot_id: str
    started_at: int


class FileLock:
    def __init__(self, database: Path) -> None:
        self._path = _path(database)
        self._descriptor = -1

    def acquire(self) -> None:
        """Raises StoreBusy, naming the holder's pid, or StoreBroken when the lock file cannot be written."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StoreBroken(f"cannot write {self._path}: {error.strerror}") from error
        try:
            _lock(descriptor)
        except OSError:
            who = _name(descriptor)
            os.close(descriptor)
            database = self._path.with_suffix("")
            raise StoreBusy(f"{who} already serves {database}; stop it first, or set QUART_APP_DATA_DIR") from None
        os.ftruncate(descriptor, 0)
        holder = Holder(pid=os.getpid(), boot_id=_boot_id(), started_at=time.time_ns() // 1_000_000)
        os.pwrite(descriptor, msgspec.json.encode(holder), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder(database: Path) -> str:
    """`process 1234`: who holds the lock, or held it last."""
    try:
        descriptor = os.open(_path(database), os.O_RDONLY)
    except OSError:
        return "another process"
    try:
        return _name(descriptor)
    finally:
        os.close(descriptor)


def _path(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def _name(descriptor: int) -> str:
    found = _read(descriptor)
    return f"process {found.pid}" if found is not None else "another process"


def _read(descriptor: int) -> Holder | None:
    # The holder writes its name right after it takes the lock; a look in between finds nothing yet.
    for _ in range(20):
        try:
            return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
        except msgspec.DecodeError:
            time.sleep(0.01)
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte past what the file says, which others want to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
