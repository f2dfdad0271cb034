"""Detects a database that was replaced while open, a lock file that is gone, and a disk that takes writes again."""

from __future__ import annotations

import logging
from pathlib import Path

from quart_app.core.errors import StartupError, StoreBusy, StoreUnavailable
from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.lock import FileLock

log = logging.getLogger("quart_app")


class StoreWatch:
    def __init__(self, path: Path, database: Database, lock: FileLock) -> None:
        """`path`: the file of the open database. Raises OSError."""
        self._path = path
        self._database = database
        self._lock = lock
        self._identity = self._identify()

    def _identify(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    async def look(self, store: Store, running: bool) -> None:
        """Check once. `running`: tasks run here, so the time of the lock file is set for the next process."""
        identity: tuple[int, int] | None = None
        try:
            identity = self._identify()
        except FileNotFoundError:
            pass
        except OSError:
            return  # the disk has a fault; the file may still be the same
        if identity != self._identity:
            self._database.declare_broken(f"{self._path} was replaced or removed while it was served")
            return
        try:
            self._lock.renew()
            if running:
                self._lock.touch()
        except StoreBusy as error:
            self._database.declare_broken(f"the lock file was removed, and {error}")
        except StartupError as error:
            log.warning("the lock file is gone: %s", error)
        if self._database.trouble:
            try:
                await store.probe()
                log.warning("the store takes writes again")
            except StoreUnavailable as error:
                log.debug("still no writing: %s", error)
