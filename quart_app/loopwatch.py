"""Notices a handler that blocks the event loop: names the place in the log, and ends the process when nothing moves
for a minute (exit 70), so that a supervisor starts it again and the tasks go on."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

log = logging.getLogger("quart_app")

TICK: Final = 0.25  # seconds
LAG_TICKS: Final = 60  # a quarter of a minute, what lies between two scrapes of Prometheus by default
STALLED: Final = 1.0
HOPELESS: Final = 60.0


class LoopWatch:
    def __init__(self, on_hopeless: Callable[[], None], on_tick: Callable[[], None] = lambda: None) -> None:
        """`on_tick` is called on the loop at every tick."""
        self._on_hopeless = on_hopeless
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._late: deque[float] = deque([0.0], maxlen=LAG_TICKS)

    @property
    def lag(self) -> float:
        """Seconds by which the latest of the last ticks came late: how long somebody kept the loop to himself."""
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
            except MemoryError:  # of a look at the stack; what is watched for may be just that
                time.sleep(TICK)

    def _look(self) -> None:
        told = False
        looked_at = time.monotonic()
        while not self._stopped.wait(TICK):
            now = time.monotonic()
            if now - looked_at > STALLED:
                # This thread stood still as well (SIGSTOP, a suspended laptop): that is nobody's handler.
                self._ticked_at = now
            looked_at = now
            stalled = now - self._ticked_at
            if stalled > STALLED and not self._loop.is_running():
                # A SystemExit in some callback, or a server that could not listen: nobody runs the loop any more.
                self._give_up("the event loop has ended without a stop; the process ends")
                return
            if stalled < STALLED:
                told = False
            elif stalled > HOPELESS:
                self._give_up(f"the event loop has not moved for {stalled:.0f} s; the process ends")
                return
            elif not told:
                told = True
                log.error("the event loop is blocked; it is here:", extra={"trace": self._where()})

    def _give_up(self, why: str) -> None:
        try:
            log.critical("%s", why)
        finally:
            self._on_hopeless()

    def _where(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame, limit=12)) if frame is not None else "(unknown)"
