"""Bounds the requests of a key in any second, for keys that have such a quota."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from quart_app.core.quotas import QuotaExceeded

SECOND: Final = 1.0


class RequestRates:
    """The times of the last requests of each key, as many as its quota allows in a second."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def count(self, name: str, rate: int, now: float | None = None) -> int:
        """Count a request of this key. Returns how many more it may send now. `now`: seconds of a clock that never
        steps. Raises QuotaExceeded; such a request does not count."""
        now = time.monotonic() if now is None else now
        times = self._times.get(name)
        if times is None or times.maxlen != rate:
            times = self._times[name] = deque(times or (), maxlen=rate)
        while times and now - times[0] >= SECOND:
            times.popleft()
        if len(times) == rate:
            raise QuotaExceeded("rate", rate, rate)
        times.append(now)
        return rate - len(times)
