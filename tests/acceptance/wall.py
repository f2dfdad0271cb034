"""The clock on a server's wall, which the test sets while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.harness import HOSTILE, Server

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
CREDULOUS = f"{HOSTILE},{Path(__file__).with_name('credulous.py')}"  # for QUART_APP_TASKS


class Wall:
    """What is measured by the monotonic clock goes on, whatever the wall clock does."""

    def __init__(self, server: Server) -> None:
        if not Path(FAKETIME).exists():
            pytest.skip("FAKETIME IS NOT INSTALLED: apt-get install faketime")
        self._file = server.folder / "faketime"
        server.environment |= {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }

    def set(self, moment: str) -> None:
        """UTC, as in 2026-03-08 06:59:58; it goes on from there."""
        self._write(f"@{moment}")

    def ahead(self, seconds: int) -> None:
        """So far before the true time, or behind it."""
        self._write(f"{seconds:+d}")

    def _write(self, text: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{text}\n")
        new.replace(self._file)
