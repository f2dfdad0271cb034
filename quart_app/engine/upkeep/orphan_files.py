"""Removes the files of deleted and pruned tasks, and unfinished files of processes that died."""

from __future__ import annotations

import logging
from typing import Final

from quart_app.core import artifacts
from quart_app.engine.threads import in_thread
from quart_app.process.files import Files
from quart_app.store.protocols.reports import ReportStore

log = logging.getLogger("quart_app.services")

CHUNK: Final = 500  # files looked at in one turn
PAUSE: Final = 0.05  # seconds to the next turn when this one found something
INTERVAL: Final = 10.0
# Gives the task of a file by its name, for each folder.
OWNERS: Final = {artifacts.FOLDER: artifacts.task_of, artifacts.OUTBOX: artifacts.task_of_mail}


class OrphanFiles:
    def __init__(self, files: Files, store: ReportStore) -> None:
        self._files = files
        self._store = store
        self._left: list[tuple[str, str]] = []

    async def run_once(self, now: int) -> float | None:
        """Check some of the files. Returns seconds to the next turn, None when nothing was removed."""
        if not self._left:
            self._left = await in_thread(self._list, "files")
        files, self._left = self._left[:CHUNK], self._left[CHUNK:]
        tasks = {file: task for file in files if (task := OWNERS[file[0]](file[1])) is not None}
        gone = set(await self._store.gone(sorted(set(tasks.values())))) if tasks else set()
        # Leftovers in the outbox are removed with those of the other folders, see Files.sweep.
        doomed = [
            (folder, name)
            for folder, name in files
            if tasks.get((folder, name)) in gone or (folder == artifacts.FOLDER and self._files.is_leftover(name))
        ]
        if not doomed or not await in_thread(lambda: self._remove(doomed), "files"):
            return None
        return PAUSE

    def _list(self) -> list[tuple[str, str]]:
        return [(folder, name) for folder in OWNERS for name in self._files.names(folder)]

    def _remove(self, files: list[tuple[str, str]]) -> int:
        """Remove these files, except those that are spared for now. Returns how many."""
        doomed = [one for one in files if not self._files.is_spared(*one)]
        for folder, name in doomed:
            self._files.remove(folder, name)
        log.debug("removed %d files of tasks that are gone", len(doomed))
        return len(doomed)
