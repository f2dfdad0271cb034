"""Reads queues as they are: their counts, their limits, how long their tasks wait."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec

from quart_app.core.claim_limits import QueueUse, Rate, room_of
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Row

MOST_LANES: Final = 5_000  # lanes, and priorities in them, that are looked at for the oldest task


class QueueReader:
    """Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, after: str, limit: int, up: int) -> list[QueueUse]:
        """Queues whose name comes after this one, by name."""
        rows = await self._db.read(self._db.text("queue_names"), {"after": after, "limit": limit})
        names = [name for (name,) in rows]
        due = await oldest(self._db, names)
        return [_use(row, due.get(row[0])) for row in await self.figures(names, up)]

    async def one(self, name: str, up: int) -> QueueUse | None:
        """None: there is no such queue."""
        ((known,),) = await self._db.read(self._db.text("known_queue"), {"queue": name})
        if not known:
            return None
        (row,) = await self.figures([name], up)
        return _use(row, (await oldest(self._db, [name])).get(name))

    async def figures(self, names: Sequence[str], up: int) -> list[Row]:
        """For each queue: name, paused, waiting, delayed, processing, waiting tasks that other limits hold back, most
        that run, starts in a window, the window (ms), starts in it."""
        return list(await self._db.read(self._db.text("queue_figures"), {"queues": _text(names), "up": up}))


async def oldest(database: Database, queues: Sequence[str]) -> dict[str, int]:
    """When the task that waits for longest became due, of these queues. Raises StoreUnavailable."""
    params: dict[str, object] = {"queues": _text(queues)}
    plain = await database.scan(database.text("oldest"), params)
    laned = await database.scan(database.text("oldest_in_lanes"), {**params, "limit": MOST_LANES})
    found: dict[str, int] = {}
    for queue, due in chain(plain, laned):
        found[queue] = min(due, found.get(queue, due))
    return found


def _use(row: Row, oldest_at: int | None) -> QueueUse:
    name, paused, waiting, delayed, processing, held, most, starts, window, started = row
    rate = None if starts is None else Rate(starts, window)
    room = room_of(most, processing, rate, started)
    ready = 0 if paused else max(waiting - held, 0)
    ready = ready if room is None else min(ready, room)
    return QueueUse(name, bool(paused), waiting, ready, delayed, processing, oldest_at, most, rate)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
