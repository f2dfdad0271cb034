"""The store of sessions; SQL is in `<dialect>/sessions.sql`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quart_app.core.sessions import Session
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call


class SqlSessions:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def put_session(self, session: Session) -> bool:
        params = {
            "hash": session.hash,
            "name": session.name,
            "secret": session.secret,
            "now": session.created_at,
            "expires_at": session.expires_at,
        }
        (landed,) = await self._db.write([Call("put_session", params=params)])
        return bool(landed)

    async def end_sessions(self, hashes: Sequence[str]) -> None:
        await self._db.write([Call("end_sessions", params={"hashes": msgspec.json.encode(list(hashes)).decode()})])

    async def sessions(self) -> list[Session]:
        found = [Session(*row) for row in await self._db.scan(self._db.text("sessions"), {})]
        return sorted(found, key=lambda one: (one.created_at, one.hash))
