"""How much room the disk of the data has. Below a floor no new work is taken, so that accepted work can go on."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Final

from quart_app.core.errors import DiskLow

log = logging.getLogger("quart_app")

INTERVAL: Final = 1.0  # seconds


class DiskFloor:
    """`floor` in bytes; 0: there is none. `free`: bytes that were free at the last look; None: it has not looked yet,
    or could not."""

    def __init__(self, path: Path, floor: int) -> None:
        self._path = path
        self._floor = floor
        self._low = False
        self.free: int | None = None

    async def run_once(self, now: int) -> float | None:
        try:
            self.free = (await asyncio.to_thread(shutil.disk_usage, self._path)).free
        except OSError as error:
            log.warning("cannot see how much room %s has: %s", self._path, error)
            self.free = None
        low = self.free is not None and self.free < self._floor
        if low != self._low:
            self._low = low
            if low:
                log.warning(
                    "%s has %d bytes left, less than %d: new work is refused", self._path, self.free, self._floor
                )
            else:
                log.info("%s has room again: new work is taken", self._path)
        return None

    def check(self) -> None:
        """Raises DiskLow when no new work is to be taken."""
        if self._low:
            raise DiskLow(f"the disk has less than {self._floor} bytes left; what was accepted goes on")
