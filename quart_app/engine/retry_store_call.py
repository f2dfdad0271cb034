"""Repeats a run's calls to the store, so that a full disk costs time, not work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar

from quart_app.clock import Clock
from quart_app.core.errors import ReadTooLong, StoreClosed, StoreUnavailable

T = TypeVar("T")

WITHIN_RUN: Final = ContextVar("within_run", default=False)
"""Whether the calling code is a handler, which may wait for the disk; a client must not wait."""


async def retry_store_call(call: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Repeat a call until the store answers it. Raises StoreClosed, ReadTooLong."""
    pause = 0.05
    while True:
        try:
            return await call()
        except (StoreClosed, ReadTooLong):
            raise
        except StoreUnavailable:
            await clock.sleep(pause)
            pause = min(pause * 2, 1.0)
