"""The timer of each upkeep service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreClosed, StoreUnavailable

log = logging.getLogger("quart_app.services")

PAUSE_AFTER_TROUBLE: Final = 1.0


class Loop:
    """Calls `run_once(now)` repeatedly. `run_once` returns how many seconds to wait, or None for `interval`; `notify`
    ends the wait. An error costs one turn, never the service."""

    def __init__(
        self, name: str, run_once: Callable[[int], Awaitable[float | None]], clock: Clock, interval: float
    ) -> None:
        self._name = name
        self._run_once = run_once
        self._clock = clock
        self._interval = interval
        self._wake_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    def notify(self) -> None:
        self._wake_up.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            self._wake_up.clear()
            try:
                wait = await self._run_once(self._clock.now())
            except StoreClosed:
                return
            except StoreUnavailable as error:
                log.warning("%s: %s", self._name, error)
                wait = PAUSE_AFTER_TROUBLE
            except Exception:
                log.exception("%s failed and goes on", self._name)
                wait = PAUSE_AFTER_TROUBLE
            try:
                # Not `wait_for`: on Python 3.11 a wake-up in the same moment makes it forget a cancel.
                async with asyncio.timeout(self._interval if wait is None else wait):
                    await self._wake_up.wait()
            except TimeoutError:
                pass
