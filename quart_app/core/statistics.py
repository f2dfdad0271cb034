"""The figures of the tasks of a kind, and the figures of kinds and queues over time.

Durations are counted in a histogram whose steps grow by a tenth: a percentile from it differs from the true one
(nearest rank) by at most 5 % and half a millisecond, whatever the number of values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

By = Literal["kind", "queue"]
Width = Literal["5m", "1h", "1d"]

WIDTHS: Final[dict[Width, int]] = {"5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}  # in ms; days are of UTC
KEPT: Final = 90 * 86_400_000  # ms
NAMES: Final = 50  # kinds, and queues, that a bucket tells apart; it counts the others together
OTHER: Final = "other"
GROWTH: Final = 1.1

Histogram = dict[int, int]  # step -> how many values


class KindFigures(msgspec.Struct, frozen=True):
    """Figures of one kind's tasks that ended in a period. The field order is that of the statement `kind_figures`.
    `runs` counts their attempts, including runs that a stop or a crash ended. The percentiles, in ms, are of their last
    runs."""

    kind: str
    completed: int
    failed: int
    cancelled: int
    runs: int
    p50_ms: int | None
    p95_ms: int | None


class Happened(NamedTuple):
    """A start of an attempt (`status` is processing) or an end of a task, at a time in ms. `waited` and `ran` are ms,
    None where nobody knows."""

    at: int
    status: str
    kind: str
    queue: str
    waited: int | None
    ran: int | None


class Counted(NamedTuple):
    """How many events were read; whether there may be more."""

    events: int
    more: bool


class Bucket(NamedTuple):
    """`width` and `start` are in ms."""

    width: int
    start: int
    by: str


class Tally(msgspec.Struct):
    """What happened to the tasks of one kind, or of one queue, in one bucket."""

    started: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    waited: Histogram = {}
    ran: Histogram = {}

    def add(self, other: Tally) -> None:
        self.started += other.started
        self.completed += other.completed
        self.failed += other.failed
        self.cancelled += other.cancelled
        for own, more in ((self.waited, other.waited), (self.ran, other.ran)):
            for step, n in more.items():
                own[step] = own.get(step, 0) + n

    @property
    def total(self) -> int:
        return self.started + self.completed + self.failed + self.cancelled


class Figures(msgspec.Struct, frozen=True):
    """A row of GET /stats. The percentiles are ms; `waited`: from when a task could start to the start of its attempt;
    `ran`: of runs that ended a task."""

    start: int
    name: str
    started: int
    completed: int
    failed: int
    cancelled: int
    waited_p50: int | None
    waited_p95: int | None
    ran_p50: int | None
    ran_p95: int | None


def step_of(ms: int) -> int:
    """The step of a histogram that a duration belongs to."""
    return 0 if ms <= 0 else 1 + math.ceil(round(math.log(ms, GROWTH), 9))


@functools.cache
def value_of(step: int) -> int:
    """The duration in ms that stands for all of a step."""
    return 0 if step == 0 else round(2 * GROWTH ** (step - 1) / (GROWTH + 1))


def percentile(histogram: Histogram, percent: int) -> int | None:
    """In ms, by nearest rank; None: there are no values."""
    rank = -(-sum(histogram.values()) * percent // 100)
    for step in sorted(histogram):
        rank -= histogram[step]
        if rank <= 0:
            return value_of(step)
    return None


def fold(happened: Iterable[Happened]) -> dict[Bucket, dict[str, Tally]]:
    """The tallies of all buckets, by name."""
    narrow: dict[Bucket, dict[str, Tally]] = {}
    for one in happened:
        start = one.at - one.at % WIDTHS["5m"]
        for by, name in (("kind", one.kind), ("queue", one.queue)):
            _count(narrow.setdefault(Bucket(WIDTHS["5m"], start, by), {}).setdefault(name, Tally()), one)
    found = dict(narrow)
    for width in (WIDTHS["1h"], WIDTHS["1d"]):
        for bucket, names in narrow.items():
            wide = found.setdefault(Bucket(width, bucket.start - bucket.start % width, bucket.by), {})
            for name, tally in names.items():
                wide.setdefault(name, Tally()).add(tally)
    return found


def _count(tally: Tally, one: Happened) -> None:
    if one.status == "processing":
        tally.started += 1
    elif one.status == "completed":
        tally.completed += 1
    elif one.status == "failed":
        tally.failed += 1
    else:
        tally.cancelled += 1
    for histogram, ms in ((tally.waited, one.waited), (tally.ran, one.ran)):
        if ms is not None:
            step = step_of(ms)
            histogram[step] = histogram.get(step, 0) + 1


def merge(known: dict[str, Tally], new: dict[str, Tally]) -> dict[str, Tally]:
    """The tallies of one bucket that have changed. A bucket that tells NAMES names apart already counts other names
    together; before that the busiest of the new ones come first."""
    room = NAMES - len(known.keys() - {OTHER})
    changed: dict[str, Tally] = {}
    for name, tally in sorted(new.items(), key=lambda item: (-item[1].total, item[0])):
        place = name
        if name not in known and name != OTHER:
            place = name if room > 0 else OTHER
            room -= 1
        changed.setdefault(place, known.get(place, Tally())).add(tally)
    return changed


def floor(at: int, width: Width) -> int:
    """The start of the bucket that a time lies in."""
    return at - at % WIDTHS[width]


def starts(first: int, end: int, width: Width) -> Sequence[int]:
    """The starts of the buckets from `first`, which is one, to before `end`."""
    return range(first, end, WIDTHS[width])
