"""The store of the statistics; SQL is in `<dialect>/statistics.sql`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quart_app.core.statistics import (
    WIDTHS,
    Bucket,
    By,
    Counted,
    Figures,
    Happened,
    Histogram,
    KindFigures,
    Tally,
    fold,
    merge,
    percentile,
)
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call

_json: Final = msgspec.json.encode
_histogram: Final = msgspec.json.Decoder(Histogram).decode


class _Overtaken(Exception):
    """Another caller has counted these events."""


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

    # --- figures over time

    async def count_events(self, now: int | None, limit: int) -> Counted:
        ((after, _),) = await self._db.read(self._db.text("stats_mark"), {})
        ((upto, newest, n),) = await self._db.scan(self._db.text("stats_until"), {"after": after, "limit": limit})
        rows: list[Happened] = []
        if n:
            found = await self._db.scan(self._db.text("stats_events"), {"after": after, "upto": upto})
            rows = [Happened(*row) for row in found]
        put = await self._changed(rows)
        more = n == limit
        if not n and now is None:
            return Counted(0, False)
        mark = {"after": after, "upto": upto or after, "at": newest if more or now is None else now}
        calls = [
            Call("move_stats_mark", params=mark),
            Call("put_stats", params={"figures": _json(put).decode()}),
            Call("forget_counted", params={"upto": upto or after}),
        ]
        try:
            await self._db.write(calls, check=_is_first)
        except _Overtaken:
            return Counted(0, True)
        return Counted(n, more)

    async def _changed(self, happened: list[Happened]) -> list[tuple[Any, ...]]:
        """The rows of `stats` as they will be."""
        if not happened:
            return []
        new = fold(happened)
        known: dict[Bucket, dict[str, Tally]] = {}
        asked = {"buckets": _json([(one.width, one.start, one.by) for one in new]).decode()}
        for width, start, by, name, *counts, waited, ran in await self._db.scan(self._db.text("stats_rows"), asked):
            names = known.setdefault(Bucket(width, start, by), {})
            started, completed, failed, cancelled = counts
            names[name] = Tally(started, completed, failed, cancelled, _histogram(waited), _histogram(ran))
        return [
            _row(bucket, name, tally)
            for bucket, tallies in new.items()
            for name, tally in merge(known.get(bucket, {}), tallies).items()
        ]

    async def uncounted(self) -> bool:
        ((found,),) = await self._db.read(self._db.text("uncounted"), {})
        return bool(found)

    async def counted_until(self) -> int:
        ((_, at),) = await self._db.read(self._db.text("stats_mark"), {})
        return int(at)

    async def figures(self, by: By, width: int, first: int, end: int) -> list[Figures]:
        asked = {"by": by, "width": width, "first": first, "end": end}
        return [Figures(*row) for row in await self._db.scan(self._db.text("stats"), asked)]

    async def prune_figures(self, before: int, limit: int) -> int:
        pruned = 0
        for width in WIDTHS.values():
            asked = {"width": width, "before": before - width, "limit": limit - pruned}
            found = [start for (start,) in await self._db.read(self._db.text("old_stats"), asked)]
            if found:
                old = {"width": width, "starts": _json(found).decode()}
                await self._db.write([Call("prune_stats", params=old)])
            pruned += len(found)
        return pruned


def _is_first(answer: Answer) -> None:
    if not answer[0]:
        raise _Overtaken


def _row(bucket: Bucket, name: str, tally: Tally) -> tuple[Any, ...]:
    return (
        *(bucket.width, bucket.start, bucket.by, name),
        *(tally.started, tally.completed, tally.failed, tally.cancelled),
        *(percentile(one, percent) for one in (tally.waited, tally.ran) for percent in (50, 95)),
        *(_json(one).decode() for one in (tally.waited, tally.ran)),
    )
