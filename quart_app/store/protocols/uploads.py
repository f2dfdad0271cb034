"""The contract of the store of uploads. Times and errors are as in tasks.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quart_app.core.arg_types import UploadRow


class UploadStore(Protocol):
    """Uploaded files. `enqueue` writes the uses of an upload; they are deleted with their task."""

    async def add_upload(self, row: UploadRow, now: int, expires_at: int, most: int) -> str | None:
        """Returns the file of this upload: not the row's, when an upload of this id existed. None: `most` uploads of
        this owner are used by no task."""
        ...

    async def drop_upload(self, upload_id: str) -> None:
        """Let the upload expire now, unless a task uses it."""
        ...

    async def expire_uploads(self, now: int, limit: int) -> list[str]:
        """Delete expired uploads that no task uses and no schedule names. Returns their files."""
        ...

    async def find_upload(self, upload_id: str, owner: str) -> UploadRow | None: ...

    async def known_files(self, files: Sequence[str]) -> set[str]:
        """Which of these files belong to an upload."""
        ...
