"""Loaded by a server whose clock the test sets ahead for as long as a slow machine needs: a minute is ten."""

from __future__ import annotations

from quart_app.core import trusted_time

trusted_time.TO_RUN = trusted_time.TO_FORGET = 600_000  # type: ignore[misc]
