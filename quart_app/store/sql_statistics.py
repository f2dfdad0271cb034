"""The store of the statistics; SQL is in `<dialect>_statistics.sql`."""

from __future__ import annotations

from quart_app.core.statistics import KindFigures
from quart_app.store.sqlite import Database
from quart_app.store.transaction import Call


class SqlStatistics:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def kind_figures(self, since: int, limit: int) -> list[KindFigures]:
        rows = await self._db.scan(self._db.text("kind_figures"), {"since": since, "limit": limit})
        return [KindFigures(*row) for row in rows]

    async def put_statistics(self, document: str, now: int) -> None:
        await self._db.write([Call("put_statistics", params={"document": document, "at": now})])

    async def statistics(self) -> str | None:
        for (document,) in await self._db.read(self._db.text("statistics"), {}):
            return str(document)
        return None
