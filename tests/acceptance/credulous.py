"""Loaded by a server whose clock the test sets on and on: it believes each new time after a second."""

from __future__ import annotations

from quart_app.core import trusted_time

trusted_time.TO_RUN = 1_000  # type: ignore[misc]
