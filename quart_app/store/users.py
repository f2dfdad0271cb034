"""The store of the users of the examples; SQL is in `<dialect>/users.sql`."""

from __future__ import annotations

from quart_app.core.users import User
from quart_app.store.sqlite.database import Database


class SqlUsers:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def users(self, after: int, limit: int) -> list[User]:
        rows = await self._db.read(self._db.text("users"), {"after": after, "limit": limit})
        return [User(*row) for row in rows]

    async def user(self, user_id: int) -> User | None:
        rows = await self._db.read(self._db.text("user"), {"id": user_id})
        return next((User(*row) for row in rows), None)
