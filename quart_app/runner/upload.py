"""What a handler gets of an upload."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Upload(msgspec.Struct, frozen=True):
    """A file that somebody uploaded: `size` in bytes, `sha256` in hex. `name` is what the client called it: to be
    shown, never to be used as a path."""

    id: str
    path: Path
    name: str
    size: int
    sha256: str
