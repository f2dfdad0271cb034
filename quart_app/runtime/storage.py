"""The database of a runtime: its folder, its locks, its schema."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from quart_app.clock import Clock
from quart_app.settings import DATABASE, Settings
from quart_app.store import migrate
from quart_app.store.sqlite import integrity, journal
from quart_app.store.sqlite.backup import sync_folder
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.file_watch import StoreWatch
from quart_app.store.sqlite.lock import FileLock

log = logging.getLogger("quart_app")


class Storage:
    """`new`: the database was made by this start. `applied`: the migrations that this start has applied. `watch`:
    detects when the file is replaced."""

    watch: StoreWatch
    _database: Database

    def __init__(self, settings: Settings, clock: Clock, on_broken: Callable[[str], None]) -> None:
        self.new = False
        self.applied: list[str] = []
        self._settings = settings
        self._clock = clock
        self._on_broken = on_broken
        self._lock = FileLock(settings.database_path)
        # The files of a folder belong to one database. The lock of a database in its usual place also locks the folder.
        usual = settings.data_path / DATABASE
        is_there = os.path.realpath(usual) == os.path.realpath(settings.database_path)  # resolve() raises for a loop
        self._locks = [self._lock, *([] if is_there else [FileLock(usual)])]

    @property
    def last_seen_at(self) -> int | None:
        """When the process before this one was known to be alive, in ms UTC; None: there was none."""
        return self._lock.last_seen_at

    def refusing(self) -> AbstractContextManager[None]:
        """Turns errors of SQLite for a damaged file into the error with the line to print."""
        return integrity.refusing(self._settings.database_path)

    async def open(self) -> Database:
        """Lock and check the database, and bring its schema up to date. Raises StartupError with the line to print
        and the exit code; then nothing is open or locked."""
        with self.refusing():
            for folder in (self._settings.database_path.parent, self._settings.data_path):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_locks()
            try:
                await self._open()
            except BaseException:
                self._release_locks()
                raise
        return self._database

    async def close(self) -> None:
        """Write the waiting writes, then close and unlock the file."""
        await self._database.close()
        self._release_locks()

    def _take_locks(self) -> None:
        for taken, lock in enumerate(self._locks):
            try:
                lock.acquire()
            except BaseException:
                for one in self._locks[:taken]:
                    one.release()
                raise

    def _release_locks(self) -> None:
        for lock in self._locks:
            lock.release()

    async def _open(self) -> None:
        path = self._settings.database_path
        migrations = migrate.find("sqlite")
        self.new = migrate.check(path, migrations)
        journal.remove_leftovers(path)
        umask = os.umask(0o077)
        try:
            self._database = Database(path, self._settings.synchronous, self._on_broken)
            connection = await self._database.connect()
        finally:
            os.umask(umask)
        try:
            self._lock.hold_database()
            self.applied = await migrate.apply(connection, migrations, self._clock.now())
            if self.new or self.applied:  # the file may come from a first start that was killed
                sync_folder(path.parent)
            self.watch = StoreWatch(path, self._database, self._lock)
        except BaseException:
            await self._database.close()
            raise
        if self.applied:
            log.info("applied migrations: %s", ", ".join(self.applied))
        if self._settings.synchronous != "FULL":
            log.warning("QUART_APP_SYNCHRONOUS=NORMAL: a power cut may lose the last moments")
