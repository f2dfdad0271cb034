"""Limits log lines that any client can cause to one a second for each place in the code. Without that a client can
fill the log, and its useful lines are rotated away (34 MB in 46 seconds, measured)."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

# Loggers that write a line, or a traceback, for what comes from outside.
LOGGERS: Final = (
    "asyncio",
    "hypercorn.error",
    "uvicorn.error",
    "uvicorn.asgi",
    "quart_app.server",
    "quart_app.control",
    "quart_app.web",
    "quart_app.web.connections",
    "quart_app.services",
)
SECOND: Final = 1.0
MAX_PLACES: Final = 1000


class OncePerSecond(logging.Filter):
    """Passes the first line of a place in a second; the next one that passes says how many were left out. A place is
    where the code writes the line and, for an error, where the error was raised."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._places: dict[object, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = _place(record)
        now = time.monotonic()
        with self._lock:
            since, left_out = self._places.get(place, (0.0, 0))
            if since and now - since < SECOND:
                self._places[place] = (since, left_out + 1)
                return False
            if len(self._places) >= MAX_PLACES:
                self._places.clear()
            self._places[place] = (now, 0)
        if left_out:
            record.left_out = left_out
        return True


def _place(record: logging.LogRecord) -> object:
    error = record.exc_info[1] if record.exc_info else None
    raised = None
    if error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        raised = (type(error), trace and (trace.tb_frame.f_code.co_filename, trace.tb_lineno))
    # asyncio writes all of its lines in one place, so their texts distinguish them.
    told = str(record.msg)[:40] if record.name == "asyncio" else None
    return record.name, record.pathname, record.lineno, raised, told


def calm() -> None:
    """Limit the lines of LOGGERS from now on."""
    once = OncePerSecond()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(once)
