"""The store of the API keys; SQL is in `<dialect>_keys.sql`."""

from __future__ import annotations

from quart_app.core.keys import Key
from quart_app.store.sqlite import Database
from quart_app.store.transaction import Call


class SqlKeys:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_key(self, key: Key) -> bool:
        params = {"name": key.name, "hash": key.hash, "scopes": " ".join(key.scopes), "now": key.created_at}
        (rows,) = await self._db.write([Call("add_key", params=params)])
        return bool(rows)

    async def revoke_key(self, name: str, now: int) -> bool:
        (rows,) = await self._db.write([Call("revoke_key", params={"name": name, "now": now})])
        return bool(rows)

    async def keys(self) -> list[Key]:
        rows = await self._db.scan(self._db.text("api_keys"), {})
        return [
            Key(name, hashed, tuple(scopes.split()), created_at, revoked_at, "store")
            for name, hashed, scopes, created_at, revoked_at in rows
        ]
