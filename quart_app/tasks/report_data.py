"""The data of reports: rows from the store, newest first, and figures that are collected while the rows are read.

All of it takes bounded memory, however many rows there are.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec

from quart_app.core.task import KIND_PATTERN, STATUSES, Status
from quart_app.engine import NonRetryable

PAGE: Final = 1000  # rows of one query
HOURS: Final = 48  # in the chart
MAX_GROUPS: Final = 10_000  # further groups are counted as `other`
OTHER: Final = "other"
_NEWEST: Final = 2**62  # above the number of every row
_FINENESS: Final = 50  # buckets for each factor of e: a percentile is accurate to 1 %

ReportType = Literal["tasks", "queues", "errors", "users"]
Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]
Row = dict[str, Any]


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Only tasks of this status and kind, created between these times (both exclusive), and their errors."""

    status: Status | None = None
    kind: Annotated[str, msgspec.Meta(pattern=f"^{KIND_PATTERN}\\Z")] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


class Interrupted(Exception):
    """The task was cancelled, or has run out of time."""


class Figures:
    """Counts of each of the last HOURS hours by series, durations by kind, and counts by queue, kind and status."""

    def __init__(self) -> None:
        self.hours: Counter[tuple[int, str]] = Counter()
        self.series: Counter[str] = Counter()
        self.groups: dict[tuple[str, str], Counter[str]] = {}
        self._durations: dict[str, Counter[int]] = {}
        self._newest = 0

    def count(self, at: int, series: str) -> None:
        """Count a row. `at`: ms UTC. Rows come newest first, so the first row tells which hours are the last ones."""
        hour = at // 3_600_000
        self._newest = max(self._newest, hour)
        if hour > self._newest - HOURS:
            series = series if series in self.series or len(self.series) < MAX_GROUPS else OTHER
            self.series[series] += 1
            self.hours[hour, series] += 1

    def took(self, kind: str, ms: int) -> None:
        kind = kind if kind in self._durations or len(self._durations) < MAX_GROUPS else OTHER
        self._durations.setdefault(kind, Counter())[round(math.log(max(ms, 1)) * _FINENESS)] += 1

    def group(self, queue: str, kind: str, status: str) -> None:
        key = (queue, kind)
        key = key if key in self.groups or len(self.groups) < MAX_GROUPS else (OTHER, OTHER)
        self.groups.setdefault(key, Counter())[status] += 1

    def stacks(self, names: list[str]) -> list[tuple[str, dict[str, int]]]:
        """(hour, {series: number}) for each hour of the chart, from the first to the last. Series that are not among
        the names are added up as `other`."""
        last = [hour for hour, _ in self.hours if hour > self._newest - HOURS]
        found: dict[int, dict[str, int]] = {hour: {} for hour in range(min(last, default=0), max(last, default=-1) + 1)}
        for (hour, series), number in self.hours.items():
            if hour in found:
                name = series if series in names else OTHER
                found[hour][name] = found[hour].get(name, 0) + number
        return [(moment(hour * 3_600_000)[:13].replace("T", " ") + " h", stack) for hour, stack in found.items()]

    def percentiles(self) -> list[Row]:
        """Seconds that tasks took, by kind: the nearest rank of each percentile, accurate to 1 %."""
        rows = []
        for kind, buckets in sorted(self._durations.items()):
            row: Row = {"kind": kind, "ended": buckets.total()}
            for percent in (50, 90, 99):
                left = math.ceil(buckets.total() * percent / 100)
                for bucket in sorted(buckets):
                    left -= buckets[bucket]
                    if left <= 0:
                        break
                seconds = math.exp(bucket / _FINENESS) / 1000
                row[f"p{percent}_seconds"] = f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"
            rows.append(row)
        return rows


def rows(ctx: Any, report_type: ReportType, filters: Filters, figures: Figures) -> Iterator[Row]:
    """Yield the rows of a report, and add each to `figures`. `ctx` is the context of a `def` handler. Raises
    Interrupted, and NonRetryable for filters that the report does not take."""
    match report_type:
        case "tasks":
            yield from _tasks(ctx, filters, figures)
        case "queues":
            for _ in _tasks(ctx, filters, figures):
                pass
            for (queue, kind), counts in sorted(figures.groups.items()):
                yield {"queue": queue, "kind": kind, **{status: counts[status] for status in STATUSES}}
        case "errors":
            yield from _errors(ctx, filters, figures)
        case "users":
            yield from _users(ctx, filters)


def _tasks(ctx: Any, filters: Filters, figures: Figures) -> Iterator[Row]:
    for row in _pages(ctx, "report_tasks", {"next": "upto"}, filters):
        ms = None
        if row["completed_at"] is not None and row["started_at"] is not None:
            ms = row["completed_at"] - row["started_at"]
            figures.took(row["kind"], ms)
        figures.count(row["created_at"], f"{row['kind']} {row['status']}")
        figures.group(row["queue"], row["kind"], row["status"])
        for name in ("created_at", "started_at", "completed_at"):
            row[name] = moment(row[name]) if row[name] is not None else None
        yield {**row, "seconds": ms / 1000 if ms is not None else None}


def _errors(ctx: Any, filters: Filters, figures: Figures) -> Iterator[Row]:
    for row in _pages(ctx, "report_errors", {"next_task": "task", "next_fence": "fence"}, filters):
        figures.count(row["at"], row["error_type"])
        yield {**row, "at": moment(row["at"]), "retryable": "yes" if row["retryable"] else "no"}


def _users(ctx: Any, filters: Filters) -> Iterator[Row]:
    if filters != Filters():
        raise NonRetryable("a report of users takes no filters")
    after = 0
    while page := ctx.query("report_users", after=after, limit=PAGE):
        if ctx.cancelled:
            raise Interrupted
        yield from page
        after = page[-1]["id"]


def _pages(ctx: Any, statement: str, cursor: dict[str, str], filters: Filters) -> Iterator[Row]:
    """Yield the rows of all pages. `cursor`: the columns that say where the next page starts, and the parameters that
    take them."""
    newest = ctx.query("newest_task")[0]["seq"] or 0
    given = {name: getattr(filters, name) for name in Filters.__struct_fields__}
    given |= {name: int(at.timestamp() * 1000) for name, at in given.items() if isinstance(at, datetime.datetime)}
    place: dict[str, int] = dict.fromkeys(cursor.values(), _NEWEST)
    count = 0
    while True:
        if ctx.cancelled:
            raise Interrupted
        page = ctx.query(statement, limit=PAGE, **place, **given)
        found = [row for row in page if row["task_id"] is not None]
        following = [page[0][column] for column in cursor]
        for row in found:
            yield {name: value for name, value in row.items() if name not in cursor}
        count += len(found)
        if following[0] is None:
            return
        # In per cent: an owner who sees only his own tasks must not learn how many there are in all.
        ctx.progress(round(100 * (1 - following[0] / max(newest, following[0]))), 100, f"{count:,} rows")
        place = dict(zip(cursor.values(), following, strict=True))


def moment(at: int) -> str:
    """The time `at` (ms UTC) as RFC 3339 in UTC."""
    made = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
    return made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
