"""An upload as handlers see it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Upload(msgspec.Struct, frozen=True):
    """A file that a client uploaded: `size` in bytes, `sha256` in hex. `name` is the client's name for it: show it, but
    never use it as a path."""

    id: str
    path: Path
    name: str
    size: int
    sha256: str
