"""How the process ends: SIGTERM begins the drain, a watchdog bounds it, and every end has its exit code.

It works under any ASGI server: our handler runs first and then calls the server's own. A server that waits for open
connections for ever (Hypercorn on Python 3.12.1 and later) is ended by the watchdog; the rows are safe either way.

The process may have to end when no memory and no thread is available. So what the end needs is made at the start, and
`_exit` is the last call, in a `finally`.
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
from quart_app.process.logs import flush, last_words

log = logging.getLogger("quart_app")

WATCHDOG: Final = 1.5  # seconds past the drain time
CODE_STOPPED: Final = 0
CODE_BLOCKED: Final = 70
CODE_BROKEN: Final = 74
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_exit: Final = os._exit  # kept here in case a task's code replaces os._exit


class Signals:
    """`standalone`: the process runs nothing but this service, so this class may end it."""

    def __init__(self, drain_seconds: float, standalone: bool) -> None:
        self._deadline = drain_seconds + WATCHDOG
        self._standalone = standalone
        self._begin_drain: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: dict[int, Any] = {}
        self._ours = self._handle  # one object, so that keep() can tell it from another's
        self._told = False
        self._signalled = False
        self._asleep = threading.Lock()
        """Held until a signal comes; the watchdog waits for it."""

    def install(self) -> None:
        """Take over SIGTERM and SIGINT. Only the main thread can; elsewhere (tests) the app stops by its lifespan."""
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            return
        if self._standalone:
            self._asleep.acquire()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        for number in STOPS:
            self._previous[number] = signal.getsignal(number)
            signal.signal(number, self._ours)

    def started(self, begin_drain: Callable[[], None]) -> None:
        """From now on a signal begins this drain; one that has come already does so at once."""
        self._begin_drain = begin_drain
        self.keep()

    def keep(self) -> None:
        """Undo what a task's code did to the signals of a standalone process: it may ignore them, block them, or use a
        library that replaces our handler with its own. Takes 35 µs; from the main thread only."""
        if self._signalled and self._begin_drain is not None:
            self._begin_drain()  # a second call does nothing; the handler may have had no memory for it
        if not self._standalone or not self._previous:
            return
        # Always, because a change by a library written in C cannot be seen from Python.
        changed = [signal.signal(number, self._ours) is not self._ours for number in STOPS]
        if hasattr(signal, "pthread_sigmask"):
            changed.append(bool(signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS) & set(STOPS)))
        if any(changed) and not self._told:
            self._told = True
            log.warning("a task's code took SIGTERM or SIGINT away from the server, which has them back")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Runs in the main thread between two bytecodes, also while the loop is blocked: no locks, no logging here.
        if self._signalled:
            if self._standalone:
                _exit(CODE_STOPPED)
        else:
            self._signalled = True
            if self._standalone:
                self._asleep.release()
            try:
                if self._loop is not None and self._begin_drain is not None:
                    self._loop.call_soon_threadsafe(self._begin_drain)
            except (RuntimeError, MemoryError):
                pass  # keep() begins the drain, or the watchdog ends what does not run any more
        previous = self._previous.get(number)
        if callable(previous) and previous is not signal.default_int_handler:
            previous(number, frame)

    def _watch(self) -> None:
        try:
            self._asleep.acquire()
            self._asleep.acquire(timeout=self._deadline)
            text = f"quart_app: stopped after {self._deadline:g} s; unfinished tasks resume at the next start"
            last_words(text)
        finally:
            _exit(CODE_STOPPED)

    def start_failed(self, error: StartupError) -> None:
        """End a standalone process with one line and the exit code. In another process do nothing: the caller raises
        the error."""
        if not self._standalone:
            return
        try:
            if isinstance(error, StoreBusy) and multiprocessing.parent_process() is not None:
                # A worker of a pre-forking server, which would start it again for ever: end the whole server.
                last_words(f"quart_app: {error} (SQLite is served by one process: ask the server for one worker)")
                os.kill(os.getppid(), signal.SIGTERM)
            else:
                last_words(f"quart_app: {error}")
        finally:
            _exit(error.exit_code)

    def broken(self, reason: str) -> None:
        """The database is damaged or missing: end a standalone process with exit code 74, because no promise can be
        kept."""
        try:
            log.critical("the store is broken: %s", reason)
            if self._standalone:
                last_words(f"quart_app: the store is broken: {reason}")
        finally:
            if self._standalone:
                _exit(CODE_BROKEN)

    def hopeless(self) -> None:
        """The event loop has been blocked for a minute, or has ended without a stop: end a standalone process with exit
        code 70, or 0 after a signal."""
        if not self._standalone:
            return
        try:
            last_words("quart_app: the event loop does not move any more; see the log for the place")
        finally:
            _exit(CODE_STOPPED if self._signalled else CODE_BLOCKED)

    def restore(self) -> None:
        """Give the signals back."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) is self._ours:
                signal.signal(number, previous)
        self._previous.clear()

    def stopped(self) -> None:
        """Everything is closed. After a signal end the process here: uvicorn would die of the signal, with its
        number as the exit code, and no server has anything left to do."""
        try:
            self.restore()
            if self._standalone and self._signalled:
                flush()
        finally:
            if self._standalone and self._signalled:
                _exit(CODE_STOPPED)
