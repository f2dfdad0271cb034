"""One server for each database file. It holds exclusive flocks, which the kernel frees at kill -9. Holding them proves
that no other process runs these tasks.

One flock is on a lock file beside the database; the file names the holder. Any user of the folder can remove that file,
and a hard link gives the database a second name with a lock file of its own. So on Linux another flock is on the
database itself. It does not disturb SQLite, which locks by fcntl: on Linux that is independent of flock (elsewhere, and
on NFS, it is not). The descriptor is open from before the first connection until after the last, because closing any
descriptor of a file drops all fcntl locks that the process has on it (sqlite.org/howtocorrupt.html, 2.2).

A flock belongs to the open file, which a forked child shares: it would outlive a killed server in its children. So a
child closes these descriptors (see forks.py); that does not unlock the file.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import stat
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from quart_app.core.errors import ConfigError, StoreBroken, StoreBusy
from quart_app.process import forks

log = logging.getLogger("quart_app.store")

# Do not follow a symbolic link, and do not wait for the other end of a pipe.
_AS_IT_IS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_held: Final[set[tuple[int, int]]] = set()
"""The databases (device, inode) that this process has locked; it must not open and close them again."""


class Holder(msgspec.Struct):
    """The process that holds the lock, as written in the lock file."""

    pid: int
    boot_id: str
    started_at: int


class FileLock:
    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = _path(database)
        self._descriptor = -1
        self._file = -1
        self._identity: tuple[int, int] | None = None
        self.last_seen_at: int | None = None
        """When the last holder was known to be alive, in ms UTC, within a second; None: there was none."""

    def acquire(self) -> None:
        """Take the locks. Raises StoreBusy, naming the holder's pid, StoreBroken when the lock file cannot be written,
        ConfigError when it is not a plain file or the database has a second name."""
        with contextlib.suppress(OSError):
            self.last_seen_at = self._path.stat().st_mtime_ns // 1_000_000
        self._descriptor = self._take()
        try:
            self.hold_database()
        except BaseException:
            self.release()
            raise

    def hold_database(self) -> None:
        """Lock the database itself. Call it again after a new database was made. Raises StoreBusy, ConfigError."""
        if self._file >= 0 or not self._database.is_file():
            return
        status = self._database.stat()
        _check_names(self._database, status)
        identity = (status.st_dev, status.st_ino)
        if identity in _held:
            raise self._busy(f"process {os.getpid()}")
        if sys.platform != "linux":
            return
        try:
            descriptor = os.open(self._database, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # opening it as a database reports the error
        try:
            _lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise self._busy("another process") from None
        except OSError:  # a file system without such locks
            os.close(descriptor)
            return
        self._file, self._identity = descriptor, identity
        _held.add(identity)
        forks.hide(descriptor)

    def renew(self) -> None:
        """Make the lock file again when it was removed or replaced. Raises StoreBusy when another process holds the new
        file and this one has no lock on the database itself; StoreBroken, ConfigError as `acquire`."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor)):
                return
        try:
            descriptor = self._take()
        except StoreBusy:
            if self._file < 0:
                raise
            return  # the other process will find the database locked
        _close(self._descriptor)
        self._descriptor = descriptor
        log.warning("%s was removed or replaced and is made again", self._path)

    def touch(self) -> None:
        """Set the time of the lock file, so that the next holder knows until when this process ran its tasks."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        """Release the locks. Call it only when this process has no open connection to the database."""
        for descriptor in (self._file, self._descriptor):
            if descriptor >= 0:
                _close(descriptor)
        if self._identity is not None:
            _held.discard(self._identity)
        self._file = self._descriptor = -1
        self._identity = None

    def _take(self) -> int:
        """Open and lock the lock file. Returns its descriptor."""
        descriptor = self._open()
        try:
            _lock(descriptor)
        except OSError:
            who = _name(descriptor)
            os.close(descriptor)
            raise self._busy(who) from None
        holder = Holder(pid=os.getpid(), boot_id=_boot_id(), started_at=time.time_ns() // 1_000_000)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(holder), 0)
        except OSError as error:  # the disk is full
            os.close(descriptor)
            raise StoreBroken(f"cannot write {self._path}: {error.strerror}") from error
        forks.hide(descriptor)
        return descriptor

    def _open(self) -> int:
        not_ours = ConfigError(f"{self._path} is not a plain file; remove it")
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _AS_IT_IS, 0o600)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
                raise not_ours from None
            raise StoreBroken(f"cannot write {self._path}: {error.strerror}") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(descriptor)
            raise not_ours
        return descriptor

    def _busy(self, who: str) -> StoreBusy:
        return StoreBusy(f"{who} already serves {self._database}; stop it first, or set QUART_APP_DATA_DIR")


def _close(descriptor: int) -> None:
    forks.forget(descriptor)
    os.close(descriptor)


def _check_names(database: Path, status: os.stat_result) -> None:
    """Refuse a second name: under it SQLite would miss the -wal beside the first name, and damage the database."""
    # A killed restore has left a second name too, under which no server runs.
    kept = database.parent.glob(f"{glob.escape(database.name)}.before-*")
    if status.st_nlink > 1 + sum(other.is_file() and other.samefile(database) for other in kept):
        raise ConfigError(f"{database} has a second name (a hard link): remove one of the two, or make a copy")


def holder(database: Path) -> str:
    """The process that holds the lock or held it last, as `process 1234`."""
    try:
        descriptor = os.open(_path(database), os.O_RDONLY | _AS_IT_IS)
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
    # The holder writes its pid right after it takes the lock; a read in between finds nothing yet.
    for _ in range(20):
        try:
            return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
        except (msgspec.DecodeError, OSError):  # OSError: it is no file
            time.sleep(0.01)
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # a byte past the contents, which other processes read
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
