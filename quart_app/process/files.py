"""Files under the data directory. Writing is atomic: a reader sees a whole file or none, also after a power cut."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

# The names that this class and the backup give to a file that is not complete yet.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}(\.[0-9a-f]{8})?\.tmp")


class Files:
    """Names of folders and files are the caller's own (ids), never a user's text. Every method blocks."""

    def __init__(self, root: Path, life: str | None = None) -> None:
        """`life`: marks the temporary files of the process that holds the database's lock; a child of that process
        gets the same. None: a new one."""
        self._root = root
        self._unknown_from, self._unknown_to = 0, 0
        self.life = life or secrets.token_hex(4)

    def write(self, folder: str, name: str, data: bytes) -> Path:
        """Write `<root>/<folder>/<name>` and return its path. Raises ValueError, OSError."""
        with self.writing(folder, name) as file:
            file.write(data)
        return self._root / folder / name

    @contextmanager
    def writing(self, folder: str, name: str) -> Iterator[BinaryIO]:
        """A file to write to, which is `<root>/<folder>/<name>` once the block has ended, and nothing when it raised:
        temporary file, fsync, rename, fsync of the folder. Raises ValueError, OSError."""
        _check(folder, name)
        directory = self._root / folder
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = directory / f".{name}.{secrets.token_hex(4)}.{self.life}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(directory / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder_descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)
        finally:
            os.close(folder_descriptor)

    def sweep(self, before: int) -> list[str]:
        """Delete the temporary files that a killed process left, in the root and the folders in it, when they were
        last changed before `before` (ms UTC). Returns their paths below the root. Blocking. Raises OSError."""
        swept = []
        for path in sorted([*self._root.glob(".*.tmp"), *self._root.glob("*/.*.tmp")]):
            try:
                status = path.lstat()
                ours = stat.S_ISREG(status.st_mode) and _TEMPORARY.fullmatch(path.name)
                if ours and status.st_mtime_ns // 1_000_000 < before:
                    path.unlink()
                    swept.append(str(path.relative_to(self._root)))
            except FileNotFoundError:
                pass  # its writer has renamed it
        return swept

    def open(self, folder: str, name: str) -> tuple[BinaryIO, int]:
        """An existing plain file, to read, and its size in bytes; a link is not followed. Raises ValueError,
        OSError."""
        _check(folder, name)
        directory = os.open(self._root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            # Without O_NONBLOCK, opening a pipe waits for its other end.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise FileNotFoundError(name)
        return os.fdopen(descriptor, "rb"), status.st_size

    def names(self, folder: str) -> list[str]:
        """The names in the folder; none when there is no folder. Raises OSError."""
        try:
            return [path.name for path in (self._root / folder).iterdir()]
        except FileNotFoundError:
            return []

    def spare(self, after: int, before: int) -> None:
        """Keep the files that were written between these times (ms UTC) and that the database does not know: it was
        restored from a backup, or another database was used with this folder."""
        self._unknown_from, self._unknown_to = after, before

    def is_spared(self, folder: str, name: str) -> bool:
        """Whether a file that the database does not know is kept for now, because a user may want it back."""
        if self.is_leftover(name):
            return False
        try:
            status = (self._root / folder / name).lstat()
        except OSError:
            return False
        written = status.st_mtime_ns // 1_000_000
        return not stat.S_ISREG(status.st_mode) or self._unknown_from <= written < self._unknown_to

    def remove(self, folder: str, name: str) -> None:
        """Remove a file, if it is there. Raises ValueError, OSError."""
        _check(folder, name)
        (self._root / folder / name).unlink(missing_ok=True)

    def is_leftover(self, name: str) -> bool:
        """Whether this is a temporary file of a process that has died: only the process that holds the database's lock
        writes here."""
        return _TEMPORARY.fullmatch(name) is not None and not name.endswith(f".{self.life}.tmp")


def _check(*names: str) -> None:
    for name in names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"not a plain file name: {name!r:.100}")
