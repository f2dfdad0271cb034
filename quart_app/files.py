"""Atomic writing under the data directory: a reader sees a whole file or none, also after a power cut."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


class Files:
    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, folder: str, name: str, data: bytes) -> Path:
        """Write `<root>/<folder>/<name>` and return its path: temporary file, fsync, rename, fsync of the folder.

        Blocking; `name` is the caller's own (an id), never a user's text. Raises ValueError, OSError.
        """
        directory = self._root / folder
        if Path(name).name != name or Path(folder).name != folder:
            raise ValueError(f"not a plain file name: {folder}/{name}")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = directory / f".{name}.{secrets.token_hex(4)}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
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
        return directory / name

    def sweep(self, before: int) -> list[str]:
        """Delete the temporary files that a kill left behind, in the root and the folders in it, unless they were
        touched after `before` (ms UTC). Their paths below the root. Blocking. Raises OSError."""
        swept = []
        for path in sorted([*self._root.glob(".*.tmp"), *self._root.glob("*/.*.tmp")]):
            try:
                status = path.lstat()
                ours = stat.S_ISREG(status.st_mode) and _TEMPORARY.fullmatch(path.name)
                if ours and status.st_mtime_ns // 1_000_000 < before:
                    path.unlink()
                    swept.append(str(path.relative_to(self._root)))
            except FileNotFoundError:
                pass  # whoever wrote it has renamed it
        return swept
