"""Notices a handler that blocks the event loop. It logs the place in the code, and ends the process when the loop has
been blocked for a minute (exit 70), so that a supervisor starts it again and the tasks go on."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Final

log = logging.getLogger("quart_app")

TICK: Final = 0.25  # seconds
LAG_TICKS: Final = 60  # a quarter of a minute, the time between two scrapes of Prometheus by default
STALLED: Final = 1.0
HOPELESS: Final = 60.0


class LoopWatch:
    def __init__(
        self,
        on_hopeless: Callable[[], None],
        on_tick: Callable[[], None] = lambda: None,
        on_blocked: Callable[[FrameType], str | None] = lambda frame: None,
    ) -> None:
        """`on_tick` is called on the loop at every tick; `on_blocked` in another thread, with the innermost frame of
        what blocks it, once for each time. It returns the id of the task that does so."""
        self._on_hopeless = on_hopeless
        self._on_tick = on_tick
        self._on_blocked = on_blocked
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._late: deque[float] = deque([0.0], maxlen=LAG_TICKS)

    @property
    def lag(self) -> float:
        """The longest delay among the last LAG_TICKS ticks, in seconds: how long a callback blocked the loop."""
        return max(self._late)

    def start(self) -> None:
        self._tick()
        threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._ticked_at:
            self._late.append(max(now - self._ticked_at - TICK, 0.0))
        self._ticked_at = now
        self._timer = self._loop.call_later(TICK, self._tick)
        self._on_tick()

    def _watch(self) -> None:
        while True:
            try:
                self._look()
                return
            except MemoryError:  # while reading the stack; a lack of memory may also be why the loop is blocked
                time.sleep(TICK)

    def _look(self) -> None:
        told = False
        looked_at = time.monotonic()
        while not self._stopped.wait(TICK):
            now = time.monotonic()
            if now - looked_at > STALLED:
                # This thread was stopped as well (SIGSTOP, a suspended laptop), so no handler is the cause.
                self._ticked_at = now
            looked_at = now
            stalled = now - self._ticked_at
            if stalled > STALLED and not self._loop.is_running():
                # The loop does not run any more: a SystemExit in some callback, or a server that could not listen.
                self._give_up("the event loop has ended without a stop; the process ends")
                return
            if stalled < STALLED:
                told = False
            elif stalled > HOPELESS:
                self._give_up(f"the event loop has not moved for {stalled:.0f} s; the process ends")
                return
            elif not told:
                told = True
                self._tell()

    def _give_up(self, why: str) -> None:
        try:
            log.critical("%s", why)
        finally:
            self._on_hopeless()

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._watched)
        where = "".join(traceback.format_stack(frame, limit=12)) if frame is not None else "(unknown)"
        try:
            task_id = self._on_blocked(frame) if frame is not None else None
        except Exception:
            log.exception("the stack was not kept")
            task_id = None
        extra = {"trace": where, **({"task_id": task_id} if task_id is not None else {})}
        log.error("the event loop is blocked; it is here:", extra=extra)
