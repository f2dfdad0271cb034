"""Backoff with full jitter, and which errors are worth another attempt."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from quart_app.core.errors import NonRetryable, ResourceFailed, Retry
from quart_app.core.exception_groups import leaves

MAX_DELAY: Final = 365 * 86400.0  # seconds; the longest pause that a handler can ask for


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
    """The rule of a kind: `NonRetryable` never, `Retry` always, then `no_retry_on`, then `retry_on` (None: all) and
    `ResourceFailed`.

    A group is retryable when each error in it is. A `Retry` in it does not make the other errors retryable. When
    `retry_on` or `no_retry_on` has the type of the group itself, it applies to all groups of that type.
    """
    if isinstance(error, BaseExceptionGroup):
        if isinstance(error, no_retry_on):
            return False
        wanted = None if retry_on is not None and isinstance(error, retry_on) else retry_on
        return all(is_retryable(one, wanted, no_retry_on) for one in leaves(error))
    if isinstance(error, NonRetryable):
        return False
    if isinstance(error, Retry):
        return True
    if isinstance(error, no_retry_on):
        return False
    return retry_on is None or isinstance(error, (ResourceFailed, *retry_on))


def after_ms(error: BaseException) -> int | None:
    """The pause of `Retry(after=…)` in ms, from 0 to MAX_DELAY. None: the pause of the kind, also when `after` is no
    number. Of several in a group, the longest. Never raises."""
    return max((after for one in leaves(error) if (after := _after_ms(one)) is not None), default=None)


def _after_ms(error: BaseException) -> int | None:
    if not isinstance(error, Retry) or error.after is None:
        return None
    try:
        seconds = float(error.after)
    except OverflowError:  # an integer too large for a float
        seconds = math.copysign(MAX_DELAY, error.after)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(seconds) else int(min(max(seconds, 0.0), MAX_DELAY) * 1000)
