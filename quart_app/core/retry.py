"""Backoff with full jitter, and which errors are worth another attempt."""

from __future__ import annotations

import msgspec

from quart_app.core.errors import NonRetryable, Retry


class Backoff(msgspec.Struct, frozen=True):
    """Delay before the attempt after attempt n: uniform in [0, min(cap, first * factor ** (n - 1))], in seconds.

    Full jitter as measured in M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    first: float = 1.0
    factor: float = 2.0
    cap: float = 300.0

    def delay_ms(self, attempt: int, random: float) -> int:
        """`attempt` is the one that just failed (from 1); `random` in [0, 1)."""
        try:
            ceiling = min(self.cap, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            ceiling = self.cap
        return int(ceiling * 1000 * random)


Errors = tuple[type[BaseException], ...]


def is_retryable(error: BaseException, retry_on: Errors | None, no_retry_on: Errors) -> bool:
    """The rule of a kind: `NonRetryable` never, `Retry` always, then `no_retry_on`, then `retry_on` (None: all)."""
    if isinstance(error, NonRetryable):
        return False
    if isinstance(error, Retry):
        return True
    if isinstance(error, no_retry_on):
        return False
    return retry_on is None or isinstance(error, retry_on)
