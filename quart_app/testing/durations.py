"""How long a time is, as people write it."""

from __future__ import annotations

import datetime
import math
import re
from typing import Final

_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_WORDS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*(?:,\s*|and\s+)?")


def milliseconds(time: float | str | datetime.timedelta) -> int:
    """`2 days`, `1 hour 30 minutes`, `10s`, a timedelta, or a number of seconds. Raises ValueError."""
    if isinstance(time, datetime.timedelta):
        found = time / datetime.timedelta(milliseconds=1)
    elif isinstance(time, str):
        found = _read(time)
    elif isinstance(time, int | float) and not isinstance(time, bool):
        found = time * 1000
    else:
        raise ValueError(_wrong(time))
    if not math.isfinite(found) or found < 0:
        raise ValueError(f"time goes forward only, not by {time!r:.100}")
    return round(found)


def _read(text: str) -> float:
    total, rest = 0.0, text.strip().lower()
    while rest:
        part = _PART.match(rest)
        if part is None or part[2] not in _WORDS:
            raise ValueError(_wrong(text))
        total += float(part[1]) * _MS[_WORDS[part[2]]]
        rest = rest[part.end() :]
    if not text.strip():
        raise ValueError(_wrong(text))
    return total


def _wrong(time: object) -> str:
    return f'a time is seconds, a timedelta, or a text such as "2 days" or "1 hour 30 minutes", not {time!r:.100}'
