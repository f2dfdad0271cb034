"""The store of what owners keep; SQL is in `<dialect>/quotas.sql`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from quart_app.core.quotas import Usage
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call


class SqlQuotas:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def usage(self, owner: str) -> Usage:
        ((size, uploads, schedules),) = await self._db.read(self._db.text("owner_usage"), {"owner": owner})
        queues = list(await self._db.read(self._db.text("owner_queues"), {"owner": owner}))
        return Usage(
            waiting=sum(row[1] for row in queues),
            delayed=sum(row[2] for row in queues),
            bytes=size,
            uploads=uploads,
            schedules=schedules,
            queues=frozenset(row[0] for row in queues),
        )

    async def files_of_owners(self, sizes: Mapping[str, int]) -> dict[str, int]:
        rows = msgspec.json.encode(list(sizes.items())).decode()
        found: Counter[str] = Counter()
        for owner, size in await self._db.scan(self._db.text("files_of_owners"), {"rows": rows}):
            found[owner] += size
        return found

    async def put_files_of_owners(self, sizes: Mapping[str, int]) -> None:
        rows = msgspec.json.encode(list(sizes.items())).decode()
        await self._db.write([Call("put_files_of_owners", params={"rows": rows})])
