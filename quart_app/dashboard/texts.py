"""How times, durations, sizes and numbers are shown. Times are ms UTC."""

from __future__ import annotations

import datetime
import re
from typing import Final

import msgspec
from markupsafe import Markup

NOTHING: Final = "\u2013"  # a dash stands for no value
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def moment(at: int) -> str:
    """RFC 3339, in UTC."""
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def plain(at: int) -> str:
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(at: int) -> str:
    """The time of the day, to the millisecond."""
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%H:%M:%S.%f")[:-3]


def duration(ms: float | None) -> str:
    """Two units at most: `1 min 5 s`."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
    seconds = round(ms / 1000)
    parts: list[str] = []
    for size, name in _UNITS:
        if seconds >= size and len(parts) < 2:
            parts.append(f"{seconds // size} {name}")
            seconds %= size
        elif parts:
            break
    return " ".join(parts)


def ago(at: int, now: int) -> str:
    """In words, with one unit."""
    seconds = abs(now - at) // 1000
    if seconds < 2:
        return "now"
    size, name = next((size, name) for size, name in _UNITS if seconds >= size)
    text = f"{seconds // size} {name}"
    return f"{text} ago" if at <= now else f"in {text}"


def when(at: int | None, now: int) -> Markup:
    """A `time` element: how long ago, with the time itself in its tooltip."""
    if at is None:
        return Markup('<span class="none">{}</span>').format(NOTHING)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment(at), plain(at), ago(at, now))


def number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def size(n: int | None) -> str:
    """Bytes."""
    if n is None:
        return NOTHING
    value = float(n)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def pretty(text: str | None) -> str:
    """JSON text with line ends and blanks. Numbers stay as they are, however long."""
    return "" if text is None else msgspec.json.format(text, indent=2)


def short(text: str | None, most: int = 140) -> str:
    """The first line, cut."""
    line = (text or "").strip().partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"


def pieces(text: str) -> Markup:
    """A name that a narrow column may break after a dash, a dot or an underscore."""
    return Markup("<wbr>").join(re.findall(r"[^-._]*[-._]|[^-._]+", text))
