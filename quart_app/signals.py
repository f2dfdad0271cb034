"""How the process ends: SIGTERM begins the drain, a watchdog bounds it, and every end has its exit code.

It works under any ASGI server: our handler runs first and then calls the server's own. A server that waits for open
connections for ever (Hypercorn on Python 3.12.1 and later) is ended by the watchdog; the rows are safe either way.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from quart_app.core.errors import StartupError, StoreBusy
from quart_app.logs import flush, last_words

log = logging.getLogger("quart_app")

WATCHDOG: Final = 1.5  # seconds past the drain time
CODE_STOPPED: Final = 0
CODE_BLOCKED: Final = 70
CODE_BROKEN: Final = 74


class Signals:
    """`standalone`: the process is ours, so it may be ended from here."""

    def __init__(self, drain_seconds: float, standalone: bool) -> None:
        self._deadline = drain_seconds + WATCHDOG
        self._standalone = standalone
        self._begin_drain: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[int, Any] = {}
        self._signalled = False

    def install(self, begin_drain: Callable[[], None]) -> None:
        """Take over SIGTERM and SIGINT. Only the main thread can; elsewhere (tests) the app stops by its lifespan."""
        self._begin_drain = begin_drain
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Runs in the main thread between two bytecodes, also while the loop is blocked: no locks, no logging here.
        if self._signalled:
            if self._standalone:
                os._exit(CODE_STOPPED)
        else:
            self._signalled = True
            if self._standalone:
                threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin_drain)
        previous = self._previous.get(number)
        if callable(previous) and previous is not signal.default_int_handler:
            previous(number, frame)

    def _watch(self) -> None:
        threading.Event().wait(self._deadline)
        last_words(f"quart_app: stopped after {self._deadline:g} s; unfinished tasks resume at the next start")
        os._exit(CODE_STOPPED)

    def start_failed(self, error: StartupError) -> None:
        """One line and the exit code; in somebody else's process the error itself goes on."""
        if not self._standalone:
            return
        if isinstance(error, StoreBusy) and multiprocessing.parent_process() is not None:
            # A worker of a pre-forking server, which would start it again for ever: end the whole server.
            last_words(f"quart_app: {error} (SQLite is served by one process: ask the server for one worker)")
            os.kill(os.getppid(), signal.SIGTERM)
        else:
            last_words(f"quart_app: {error}")
        os._exit(error.exit_code)

    def broken(self, reason: str) -> None:
        """The database is damaged or gone: nothing more can be promised."""
        log.critical("the store is broken: %s", reason)
        if self._standalone:
            last_words(f"quart_app: the store is broken: {reason}")
            os._exit(CODE_BROKEN)

    def hopeless(self) -> None:
        """The event loop has been blocked for a minute, or has ended without a stop."""
        if self._standalone:
            last_words("quart_app: the event loop does not move any more; see the log for the place")
            os._exit(CODE_BLOCKED)

    def stopped(self) -> None:
        """Everything is closed. After a signal end the process here: uvicorn would die of the signal, with its
        number as the exit code, and no server has anything left to do."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()
        if self._standalone and self._signalled:
            flush()
            os._exit(CODE_STOPPED)
