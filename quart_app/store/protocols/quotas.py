"""The contract of the store of what owners keep. Times and errors are as in tasks.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from quart_app.core.quotas import Usage


class QuotaStore(Protocol):
    async def usage(self, owner: str) -> Usage: ...

    async def files_of_owners(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The bytes of files by owner. `sizes`: bytes by task id; those of no owner are left out."""
        ...

    async def put_files_of_owners(self, sizes: Mapping[str, int]) -> None:
        """Record the bytes of all files of each owner; owners that are not named have none."""
        ...
