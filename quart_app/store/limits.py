"""The stores of the limits; SQL is in `<dialect>/limits.sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from quart_app.core.limits import Hold, LimitedCall, Moment
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call

PAGE: Final = 10_000
NEVER: Final = 2**62  # later than any date


class SqlLimits:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def enter_call(self, call: int, name: str, window_ms: int) -> None:
        await self._db.write([Call("enter_calls", {"id": call, "name": name, "window_ms": window_ms})])

    async def settle_calls(
        self, answered: Mapping[int, Moment], forgotten: Sequence[int], released: Sequence[int]
    ) -> None:
        dates = [Call("date_calls", {"id": call, **moment._asdict()}) for call, moment in answered.items()]
        calls = [Call("forget_calls", {"id": call}) for call in forgotten]
        await self._db.write([*dates, *calls, *(Call("forget_holds", {"id": hold}) for hold in released)])

    async def recover_calls(self, now: Moment) -> list[LimitedCall]:
        calls: list[LimitedCall] = []
        rows = None
        while rows is None or len(rows) == PAGE:
            after = calls[-1].id if calls else 0
            rows = list(await self._db.scan(self._db.text("limit_calls"), {"after": after, "limit": PAGE}))
            calls += [
                LimitedCall(number, name, window_ms, now if wall is None else Moment(wall, up), wall is None)
                for number, name, window_ms, wall, up in rows
            ]
        if any(call.left for call in calls):
            await self._db.write([Call("date_left_calls", params=now._asdict())])
        return calls

    async def hold(self, hold: Hold) -> None:
        params = {"id": hold.id, "name": hold.name, "held_ms": hold.held_ms, **hold.at._asdict()}
        await self._db.write([Call("hold", params=params)])

    async def holds(self) -> list[Hold]:
        rows = await self._db.scan(self._db.text("limit_holds"), {})
        return [Hold(number, name, Moment(wall, up), held_ms) for number, name, wall, up, held_ms in rows]

    # --- clients

    async def client_calls(self, owner: str, client: str) -> list[int] | None:
        for (dates,) in await self._db.read(self._db.text("client_calls"), {"owner": owner, "client": client}):
            return msgspec.json.decode(dates, type=list[int])
        return None

    async def put_client_calls(self, owner: str, client: str, dates: Sequence[int], evict: int) -> int:
        row = {"owner": owner, "client": client, "last": dates[-1], "dates": msgspec.json.encode(dates).decode()}
        calls = [Call("put_client_calls", row)]
        if evict:
            calls.append(Call("forget_clients", params={"owner": owner, "before": NEVER, "limit": evict}))
        return sum(map(len, (await self._db.write(calls))[1:]))

    async def forget_clients(self, owner: str, before: int, limit: int) -> int:
        (rows,) = await self._db.write(
            [Call("forget_clients", params={"owner": owner, "before": before, "limit": limit})]
        )
        return len(rows)

    async def client_counts(self) -> dict[str, tuple[int, int]]:
        rows = await self._db.scan(self._db.text("client_counts"), {})
        return {owner: (number, last) for owner, number, last in rows}
