"""The geometry of the charts, in units of their SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from quart_app.core.statistics import Figures
from quart_app.dashboard import texts

WIDTH: Final = 480.0
HEIGHT: Final = 160.0
LEFT: Final = 46.0  # room for the numbers of the axis
BOTTOM: Final = 20.0  # and for its times
TOP: Final = 10.0
LABELS: Final = 5  # times below a chart, at most


class Bar(NamedTuple):
    """One piece of a column. `status` is its class."""

    x: float
    y: float
    width: float
    height: float
    status: str


class Column(NamedTuple):
    """A bucket: its pieces from the bottom up, and the area that shows `text` below the pointer."""

    x: float
    width: float
    bars: list[Bar]
    text: str


class Mark(NamedTuple):
    """A number or a time on an axis."""

    at: float
    text: str


class Columns(NamedTuple):
    columns: list[Column]
    scale: list[Mark]
    times: list[Mark]


class Lines(NamedTuple):
    """Points of SVG polylines; a bucket without a value parts them."""

    p50: list[str]
    p95: list[str]
    dots: list[tuple[float, float, str]]
    scale: list[Mark]
    times: list[Mark]
    columns: list[Column]


def throughput(buckets: Sequence[tuple[int, Sequence[Figures]]], days: bool) -> Columns:
    """Ends of tasks in each bucket, one status upon the other."""
    totals = [
        (sum(f.completed for f in rows), sum(f.failed for f in rows), sum(f.cancelled for f in rows))
        for _, rows in buckets
    ]
    top = _top(max((sum(one) for one in totals), default=0))
    step = (WIDTH - LEFT) / max(len(buckets), 1)
    gap = min(step * 0.25, 3.0)
    columns = []
    for index, ((start, _), total) in enumerate(zip(buckets, totals, strict=True)):
        x, y, bars = LEFT + index * step + gap / 2, HEIGHT - BOTTOM, []
        for n, status in zip(total, ("completed", "failed", "cancelled"), strict=True):
            if n:
                height = max(n / top * _tall(), 1.5)
                y -= height
                bars.append(Bar(_r(x), _r(y), _r(step - gap), _r(height), status))
        completed, failed, cancelled = total
        text = f"{_time(start, days)} UTC: {completed:,} completed, {failed:,} failed, {cancelled:,} cancelled"
        columns.append(Column(_r(LEFT + index * step), _r(step), bars, text))
    return Columns(columns, _scale(top, lambda value: f"{value:,.0f}"), _times([one for one, _ in buckets], step, days))


def durations(buckets: Sequence[tuple[int, Sequence[Figures]]], name: str, days: bool) -> Lines:
    """How long runs of one kind or queue took: the 50th and the 95th percentile."""
    found = [next((one for one in rows if one.name == name), None) for _, rows in buckets]
    most = max((one.ran_p95 for one in found if one is not None and one.ran_p95 is not None), default=0)
    top = _top_ms(most)
    step = (WIDTH - LEFT) / max(len(buckets), 1)
    lines: dict[str, list[list[str]]] = {"p50": [[]], "p95": [[]]}
    dots, columns = [], []
    for index, ((start, _), one) in enumerate(zip(buckets, found, strict=True)):
        x = LEFT + (index + 0.5) * step
        if one is None or one.ran_p50 is None or one.ran_p95 is None:
            for pieces in lines.values():
                pieces.append([])
            continue
        for which, value in (("p50", one.ran_p50), ("p95", one.ran_p95)):
            y = HEIGHT - BOTTOM - value / top * _tall()
            lines[which][-1].append(f"{_r(x)},{_r(y)}")
            dots.append((_r(x), _r(y), which))
        median, high = texts.duration(one.ran_p50), texts.duration(one.ran_p95)
        text = f"{_time(start, days)} UTC: half of the runs within {median}, 95 % within {high}"
        columns.append(Column(_r(LEFT + index * step), _r(step), [], text))
    joined = {which: [" ".join(piece) for piece in pieces if piece] for which, pieces in lines.items()}
    scale = _scale(top, texts.duration)
    return Lines(joined["p50"], joined["p95"], dots, scale, _times([one for one, _ in buckets], step, days), columns)


def _tall() -> float:
    return HEIGHT - BOTTOM - TOP


def _r(value: float) -> float:
    return round(value, 1)


def _top(most: float) -> float:
    """The end of an axis: 1, 2, 4, 5 or 10 times a power of ten."""
    if most <= 4:
        return 4.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(factor * power for factor in (1, 2, 4, 5, 10) if factor * power >= most)


def _top_ms(most: float) -> float:
    """The same for durations, which are read in seconds, minutes and hours."""
    for unit, limit in ((1.0, 1_000), (1_000.0, 60_000), (60_000.0, 3_600_000), (3_600_000.0, math.inf)):
        if most < limit:
            return min(_top(most / unit) * unit, limit)
    return most


def _scale(top: float, shown: object) -> list[Mark]:
    assert callable(shown)
    return [Mark(_r(HEIGHT - BOTTOM - part * _tall()), shown(top * part)) for part in (0.5, 1.0)]


def _times(starts: Sequence[int], step: float, days: bool) -> list[Mark]:
    every = max(math.ceil(len(starts) / LABELS), 1)
    return [Mark(_r(LEFT + index * step), _time(starts[index], days)) for index in range(0, len(starts), every)]


def _time(at: int, days: bool) -> str:
    text = texts.plain(at)
    return f"{text[5:16]}" if days else text[11:16]
