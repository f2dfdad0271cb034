"""Figures over time, by kind or by queue, as `GET /stats` shows them."""

from __future__ import annotations

from typing import Final, NamedTuple

from quart_app.clock import Clock
from quart_app.core.errors import InvalidArgs
from quart_app.core.statistics import KEPT, WIDTHS, By, Figures, Width, floor, starts
from quart_app.store.protocols.reports import StatisticsStore

MOST: Final = 1_000  # buckets of one answer
USUAL: Final[dict[Width, int]] = {"5m": 288, "1h": 168, "1d": 90}  # buckets, when the caller does not say from when


class Chart(NamedTuple):
    """`first` and `end` are those of the window, in ms: whole buckets, of which the end is not one. `buckets`: all of
    the window, in order, also those in which nothing happened. `counted_until`, in ms: what happened later may be
    missing; None: nothing is counted yet."""

    first: int
    end: int
    counted_until: int | None
    buckets: list[tuple[int, list[Figures]]]


class Statistics:
    def __init__(self, store: StatisticsStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def chart(self, by: By, width: Width, since: int | None = None, until: int | None = None) -> Chart:
        """The figures of a window (ms), of at most MOST buckets. What is older than they are kept, or still to come, is
        cut off. Raises InvalidArgs."""
        now, span = self._clock.now(), WIDTHS[width]
        end = min(now if until is None else until, now)
        first = floor(end - (USUAL[width] - 1) * span if since is None else since, width)
        if until is not None and since is not None and since >= until:
            raise InvalidArgs([("/from", "must be before to")])
        first = max(first, floor(now - KEPT, width))
        end = max(first, floor(end + span - 1, width))
        if (end - first) // span > MOST:
            raise InvalidArgs([("/from", f"from and to may be {MOST} buckets apart; give a wider bucket")])
        found: dict[int, list[Figures]] = {start: [] for start in starts(first, end, width)}
        for one in await self._store.figures(by, span, first, end):
            found[one.start].append(one)
        return Chart(first, end, await self._store.counted_until() or None, list(found.items()))
