"""Reads the groups of failed tasks. Triggers keep them; SQL is in `<dialect>/errors.sql`."""

from __future__ import annotations

from quart_app.core.error_groups import ErrorGroup
from quart_app.store.sqlite.database import Database

LAST = 2**62


class SqlErrorGroups:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def error_groups(self, owner: str | None, before: tuple[int, str] | None, limit: int) -> list[ErrorGroup]:
        last_at, fingerprint = before or (LAST, "")
        params = {"owner": owner, "last_at": last_at, "fingerprint": fingerprint, "limit": limit}
        text = self._db.text("error_groups" if owner is None else "error_groups_of_owner")
        return [ErrorGroup(*row) for row in await self._db.read(text, params)]

    async def has_error_group(self, owner: str | None, fingerprint: str) -> bool:
        params = {"owner": owner, "fingerprint": fingerprint}
        return bool(list(await self._db.read(self._db.text("has_error_group"), params)))
