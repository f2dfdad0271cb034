"""The contract of the store of uploads; what base.py says of times and errors holds here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quart_app.core.marks import UploadRow


class UploadStore(Protocol):
    """Uploaded files. The uses of one are written by `enqueue`, and go with their task."""

    async def add_upload(self, row: UploadRow, now: int, expires_at: int, most: int) -> str | None:
        """The file of this upload: another than the row's when there was one of this id. None: `most` of this owner's
        are in use by no task."""
        ...

    async def drop_upload(self, upload_id: str) -> None:
        """Let it expire now, unless a task uses it."""
        ...

    async def expire_uploads(self, now: int, limit: int) -> list[str]:
        """Forget those that neither a task uses nor a schedule names, and whose time is over; their files."""
        ...

    async def find_upload(self, upload_id: str, owner: str) -> UploadRow | None: ...

    async def known_files(self, files: Sequence[str]) -> set[str]:
        """Which of these files belong to an upload."""
        ...
