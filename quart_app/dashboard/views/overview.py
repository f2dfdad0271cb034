"""`/dashboard`: what runs here, what waits, what goes wrong."""

from __future__ import annotations

import secrets
from typing import Any, Final, Literal, NamedTuple

from quart import Blueprint, Response

from quart_app.core.claim_limits import QueueUse
from quart_app.core.statistics import WIDTHS, By, Figures, Width
from quart_app.core.task import STATUSES, TaskFilter
from quart_app.dashboard import charts
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.protection.auth import caller, may_start

Period = Literal["hour", "day", "week"]
PERIODS: Final[dict[Period, tuple[Width, int]]] = {"hour": ("5m", 12), "day": ("1h", 24), "week": ("1h", 168)}
QUERY: Final[dict[str, parse.Reader]] = {
    "period": parse.one_of(*PERIODS),
    "by": parse.one_of("kind", "queue"),
    "name": parse.name_text,
    "said": parse.text(0, 50),
}
QUEUES: Final = 12  # of those with the most to do
LATEST: Final = 8  # tasks
GROUPS: Final = 5  # of errors
LONG: Final = 60_000  # ms that a due task waits while slots are free, before that is an alarm
# Offered on an empty system: one that is seen to move, or one that every server has.
FIRST: Final = ("stream-words", "add", "stats-update")


class Named(NamedTuple):
    """What happened to the tasks of one kind or queue in the period."""

    name: str
    started: int
    completed: int
    failed: int
    cancelled: int
    ran_p50: int | None
    ran_p95: int | None
    waited_p95: int | None


class OverviewPage:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard", self.show)

    async def show(self) -> Response:
        request = this_request()
        query = parse.query(request, QUERY)
        asking, state = caller(request), self._state
        latest = await state.service.find(TaskFilter(owner=asking.sees, limit=LATEST))
        groups = await state.error_groups.find(asking.sees, None, GROUPS)
        values: dict[str, Any] = {"latest": latest, "groups": groups, "first": None, "all": None, "key": ""}
        if asking.sees is None:
            values["all"] = await self._of_everybody(query)
        if not latest:
            values["first"] = next(
                (name for name in FIRST if state.service.registry.get(name) and may_start(request, name)), None
            )
            values["key"] = secrets.token_urlsafe(16)
            values["example"] = "add" if state.service.registry.get("add") else None
        return self._frame.page("overview.html", "Overview", **values)

    async def _of_everybody(self, query: dict[str, Any]) -> dict[str, Any]:
        runtime = self._state.started
        counts = await self._state.service.counts()
        queues = await self._state.claim_limits.queues("", 200)
        slots = runtime.settings.concurrency
        free = slots - runtime.dispatcher.running
        now = self._state.service.now()
        busy = sorted(
            (one for one in queues if one.waiting or one.processing or one.delayed or one.paused),
            key=lambda one: (-one.waiting - one.processing, one.name),
        )
        return {
            "counts": {status: sum(one.n for one in counts if one.status == status) for status in STATUSES},
            "due": sum(one.n for one in counts if one.ready),
            "queues": busy[:QUEUES],
            "more_queues": max(len(busy) - QUEUES, 0),
            "running": runtime.dispatcher.running,
            "slots": slots,
            "uptime": (runtime.clock.monotonic() - runtime.started_at) * 1000,
            "disk": runtime.disk.free,
            "draining": runtime.draining.is_set(),
            "alarms": [one for one in busy if _is_stuck(one, free, now)],
            **await self._chart(query),
        }

    async def _chart(self, query: dict[str, Any]) -> dict[str, Any]:
        period: Period = query.get("period", "hour")
        by: By = query.get("by", "kind")
        width, many = PERIODS[period]
        since = self._state.service.now() - (many - 1) * WIDTHS[width]
        chart = await self._state.started.statistics.chart(by, width, since)
        named = _named([one for _, rows in chart.buckets for one in rows])
        asked = query.get("name")
        shown = asked if any(one.name == asked for one in named) else named[0].name if named else None
        days = period == "week"
        return {
            "period": period,
            "periods": list(PERIODS),
            "by": by,
            "named": named[:10],
            "shown": shown,
            "counted_until": chart.counted_until,
            "throughput": charts.throughput(chart.buckets, days) if named else None,
            "durations": charts.durations(chart.buckets, shown, days) if shown is not None else None,
        }


def _is_stuck(one: QueueUse, free: int, now: int) -> bool:
    """Whether tasks of a queue have waited for long while nobody takes any and slots are free."""
    waits = one.oldest_at is not None and now - one.oldest_at > LONG
    return waits and not one.processing and free > 0


def _named(figures: list[Figures]) -> list[Named]:
    """One entry for each name, the busiest first. The percentiles are the highest of its buckets."""
    found: dict[str, list[Figures]] = {}
    for one in figures:
        found.setdefault(one.name, []).append(one)
    named = [
        Named(
            name,
            sum(one.started for one in rows),
            sum(one.completed for one in rows),
            sum(one.failed for one in rows),
            sum(one.cancelled for one in rows),
            _highest([one.ran_p50 for one in rows]),
            _highest([one.ran_p95 for one in rows]),
            _highest([one.waited_p95 for one in rows]),
        )
        for name, rows in found.items()
    ]
    return sorted(named, key=lambda one: (-one.started - one.completed - one.failed - one.cancelled, one.name))


def _highest(values: list[int | None]) -> int | None:
    return max((one for one in values if one is not None), default=None)
