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


class Sweeper:
    def __init__(self, files: Files, store: ReportStore) -> None:
        self._files = files
        self._store = store
        self._left: list[str] = []

    async def run_once(self, now: int) -> float | None:
        """Look at some of the files; seconds to the next look, None when nothing was found."""
        if not self._left:
            self._left = await in_thread(lambda: self._files.names(artifacts.FOLDER), "sweeper")
        names, self._left = self._left[:CHUNK], self._left[CHUNK:]
        tasks = {name: task for name in names if (task := artifacts.task_of(name)) is not None}
        gone = set(await self._store.gone(sorted(set(tasks.values())))) if tasks else set()
        doomed = [name for name in names if tasks.get(name) in gone or self._files.is_leftover(name)]
        if not doomed:
            return None
        await in_thread(lambda: self._remove(doomed), "sweeper")
        return PAUSE

    def _remove(self, names: list[str]) -> None:
        for name in names:
            self._files.remove(artifacts.FOLDER, name)
        log.debug("removed %d files of tasks that are gone", len(names))
