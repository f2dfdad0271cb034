"""Our engine without HTTP: `python -m benchmarks.ours FOLDER grouped|single TASKS AT_ONCE`. Prints a rate."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from typing import Any

from benchmarks.kinds import noop
from quart_app.app import _calm_collector
from quart_app.runtime import Runtime, storage
from quart_app.settings import Settings
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Write


class OneCommitDatabase(Database):
    """Each turn takes one write: what the engine would be without group commit."""

    def _take(self) -> list[Write]:
        return self._waiting.take(1)


async def main(folder: str, mode: str, tasks: int, at_once: int) -> float:
    if mode == "single":
        storage.Database = OneCommitDatabase  # type: ignore[misc]
    background: set[asyncio.Task[Any]] = set()

    def spawn(function: Any, *arguments: Any) -> None:
        made = asyncio.create_task(function(*arguments))
        background.add(made)
        made.add_done_callback(background.discard)

    with tempfile.TemporaryDirectory(dir=folder) as data:
        engine = Runtime(Settings(data_dir=data), spawn, [noop])
        await engine.open()
        _calm_collector()  # as the server does
        try:
            return await _load(engine, tasks, at_once)
        finally:
            await engine.close()


async def _load(engine: Runtime, tasks: int, at_once: int) -> float:
    """50 clients make tasks one after the other; it is over when every one of them reads as completed. One client
    alone waits for each, or it would be the engine that makes company for it."""
    left = iter(range(tasks))

    async def client() -> None:
        for _ in left:
            handle = await noop.enqueue()
            if at_once == 1:
                await engine.service.wait(handle.id, None)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    while sum(count.n for count in await engine.service.counts() if count.status == "completed") < tasks:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return tasks / (time.perf_counter() - began)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
