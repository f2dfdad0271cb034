"""Atomic writing under the data directory: a reader sees a whole file or none, also after a power cut."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
