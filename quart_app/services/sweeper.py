"""Removes the files of tasks that are gone, deleted or pruned, and what a process that died had begun to write."""

from __future__ import annotations

import logging
from typing import Final

from quart_app.core import artifacts
from quart_app.files import Files
from quart_app.runner.threads import in_thread
from quart_app.store.base_reports import ReportStore

log = logging.getLogger("quart_app.services")

CHUNK: Final = 500  # files looked at in one turn
PAUSE: Final = 0.05  # seconds to the next turn when this one found something
INTERVAL: Final = 10.0
# Whose the files of a folder are, by their names.
OWNERS: Final = {artifacts.FOLDER: artifacts.task_of, artifacts.OUTBOX: artifacts.task_of_mail}


class Sweeper:
    def __init__(self, files: Files, store: ReportStore) -> None:
        self._files = files
        self._store = store
        self._left: list[tuple[str, str]] = []

    async def run_once(self, now: int) -> float | None:
        """Look at some of the files; seconds to the next look, None when nothing was found."""
        if not self._left:
            self._left = await in_thread(self._list, "sweeper")
        files, self._left = self._left[:CHUNK], self._left[CHUNK:]
        tasks = {file: task for file in files if (task := OWNERS[file[0]](file[1])) is not None}
        gone = set(await self._store.gone(sorted(set(tasks.values())))) if tasks else set()
        # What is left over in the outbox goes with that of the other folders, see Files.sweep.
        doomed = [
            (folder, name)
            for folder, name in files
            if tasks.get((folder, name)) in gone or (folder == artifacts.FOLDER and self._files.is_leftover(name))
        ]
        if not doomed:
            return None
        await in_thread(lambda: self._remove(doomed), "sweeper")
        return PAUSE

    def _list(self) -> list[tuple[str, str]]:
        return [(folder, name) for folder in OWNERS for name in self._files.names(folder)]

    def _remove(self, files: list[tuple[str, str]]) -> None:
        for folder, name in files:
            self._files.remove(folder, name)
        log.debug("removed %d files of tasks that are gone", len(files))
