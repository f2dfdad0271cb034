"""Failed tasks, grouped by what went wrong."""

from __future__ import annotations

from quart_app.core.error_groups import ErrorGroup
from quart_app.core.errors import ErrorGroupNotFound
from quart_app.store.protocols.bulk import ErrorGroupStore


class ErrorGroups:
    def __init__(self, store: ErrorGroupStore) -> None:
        self._store = store

    async def find(self, owner: str | None, before: tuple[int, str] | None, limit: int) -> list[ErrorGroup]:
        """Groups of this owner's failed tasks (None: of everybody's), the newest first, after that of the time (ms UTC)
        and fingerprint `before`."""
        return await self._store.error_groups(owner, before, limit)

    async def check(self, owner: str | None, fingerprint: str) -> None:
        """Raises ErrorGroupNotFound when no task of this owner has failed so."""
        if not await self._store.has_error_group(owner, fingerprint):
            raise ErrorGroupNotFound(fingerprint)
