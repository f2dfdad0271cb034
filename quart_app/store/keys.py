"""The store of the API keys and of the audit log; SQL is in `<dialect>/keys.sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.core.audit_acts import Act
from quart_app.core.keys import Key
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call, Row

NEWEST: Final = 2**63 - 1


class _NotLanded(Exception):
    """Rolls the act back together with its change, which did not land."""


class SqlKeys:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_key(self, key: Key, act: Act | None = None) -> bool:
        params = {
            "name": key.name,
            "hash": key.hash,
            "scopes": " ".join(key.scopes),
            "now": key.created_at,
            "expires_at": key.expires_at,
            "kinds": msgspec.json.encode(key.kinds).decode() if key.kinds else None,
        }
        return await self._landed("add_key", params, act)

    async def rotate_key(self, name: str, hashed: str, old_until: int, now: int, act: Act | None = None) -> bool:
        params = {"name": name, "hash": hashed, "old_until": old_until, "now": now}
        return await self._landed("rotate_key", params, act)

    async def revoke_key(self, name: str, now: int, act: Act | None = None) -> bool:
        return await self._landed("revoke_key", {"name": name, "now": now}, act)

    async def _landed(self, statement: str, params: Mapping[str, Any], act: Act | None) -> bool:
        def check(answer: Answer) -> None:
            if not answer[0]:
                raise _NotLanded

        calls = [Call(statement, params=params), *([Call("put_acts", act)] if act is not None else [])]
        try:
            await self._db.write(calls, check=check)
        except _NotLanded:
            return False
        return True

    async def use_keys(self, used: Mapping[str, int]) -> None:
        await self._db.write([Call("use_keys", {"name": name, "at": at}) for name, at in used.items()])

    async def keys(self) -> list[Key]:
        return [_key(row) for row in await self._db.scan(self._db.text("api_keys"), {})]


class SqlActs:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def put_acts(self, acts: Sequence[Act]) -> None:
        await self._db.write([Call("put_acts", act) for act in acts])

    async def acts(self, before: int | None, limit: int, act: str | None = None) -> list[Act]:
        params = {"before": NEWEST if before is None else before, "limit": limit, "act": act}
        rows = await self._db.scan(self._db.text("acts"), params)
        return [Act(**dict(zip(Act.__struct_fields__, row, strict=True))) for row in rows]

    async def prune_acts(self, before: int, most: int, most_refusals: int, limit: int) -> int:
        calls = [
            Call("prune_acts", params={"refusal": refusal, "before": before, "most": kept, "limit": limit})
            for refusal, kept in ((0, most), (1, most_refusals))
        ]
        return sum(map(len, await self._db.write(calls)))


def _key(row: Row) -> Key:
    name, hashed, scopes, created_at, revoked_at, expires_at, kinds, last_used_at, old_hash, old_until = row
    return Key(
        name,
        hashed,
        tuple(scopes.split()),
        created_at,
        revoked_at,
        "store",
        expires_at,
        msgspec.json.decode(kinds, type=tuple[str, ...]) if kinds is not None else (),
        last_used_at,
        old_hash,
        old_until,
    )
