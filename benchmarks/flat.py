"""What a verb costs with 1,000 rows and with 1,000,000: the store's verbs without HTTP, and `/status` over it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from benchmarks.bigdata import Rows, build
from benchmarks.harness import Figure, Process, Scale, median, serve
from benchmarks.kinds import noop
from quart_app import runtime
from quart_app.core.task import TaskFilter
from quart_app.core.task_request import TaskRequest
from quart_app.settings import Settings

SMALL = 1_000
LARGE = 1_000_000
CALLS = 100  # of each verb a round
TARGET = 2.0


def run(scale: Scale) -> list[Figure]:
    small = build(scale.folder / "small", SMALL)
    large = build(scale.folder / "large", scale.of(LARGE))
    figures = asyncio.run(_verbs(scale, small, large))
    return [*figures, _status(scale, small, large)]


class Engine:
    """An opened store whose ready tasks nobody claims but this."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._random = random.Random(1)

    async def open(self) -> None:
        self._engine = runtime.Runtime(Settings(data_dir=str(self._rows.folder)), lambda *_: None, [noop])
        database = await self._engine._storage.open()
        self._engine.build(database)
        await database.start()
        self.store = self._engine.store
        self.service = self._engine.service

    async def close(self) -> None:
        await self._engine._storage.close()

    async def get(self) -> object:
        return await self.service.get(self._random.choice(self._rows.ids))

    async def insert(self) -> object:
        return await self.service.enqueue([TaskRequest("noop", {})])

    async def claim(self) -> object:
        return await self.store.claim({"default": 1}, self.service.now())

    async def first_page(self) -> object:
        return await self.service.find(TaskFilter())

    async def failed_page(self) -> object:
        return await self.service.find(TaskFilter(status="failed"))

    async def deep_page(self) -> object:
        return await self.service.find(TaskFilter(before_seq=self._rows.count // 2))

    async def counts(self) -> object:
        return await self.service.counts()


async def _verbs(scale: Scale, small: Rows, large: Rows) -> list[Figure]:
    engines = [Engine(small), Engine(large)]
    for engine in engines:
        await engine.open()
    verbs = {
        "get": Engine.get,
        "insert": Engine.insert,  # before claim, which needs as many
        "claim": Engine.claim,
        "list, first page": Engine.first_page,
        "list, failed ones": Engine.failed_page,
        "list, from the middle": Engine.deep_page,
        "counts": Engine.counts,
    }
    figures = []
    for name, verb in verbs.items():
        took: list[list[float]] = [[], []]
        for _ in range(scale.rounds + 1):
            for engine, into in zip(engines, took, strict=True):
                into.append(await _each(verb, engine, scale.of(CALLS)))
        few, many = (median(times[1:]) for times in took)  # the first round warms the caches
        note = f"{few:.2f} ms and {many:.2f} ms"
        figures.append(Figure(f"{name}, {large.count:,} / {small.count:,} rows", many / few, "x", TARGET, False, note))
    for engine in engines:
        await engine.close()
    return figures


async def _each(verb: Callable[[Engine], Awaitable[object]], engine: Engine, calls: int) -> float:
    """The median of a call, in ms."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await verb(engine)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def _status(scale: Scale, small: Rows, large: Rows) -> Figure:
    with _busy_server(scale, small) as first, _busy_server(scale, large) as second:
        took: list[list[float]] = [[], []]
        for _ in range(scale.of(CALLS * 5, 10)):
            for server, into in zip((first, second), took, strict=True):
                began = time.perf_counter()
                server.call("GET", "/status")
                into.append((time.perf_counter() - began) * 1000)
    few, many = (median(times) for times in took)
    note = f"{few:.2f} ms and {many:.2f} ms over HTTP"
    return Figure(f"/status, {large.count:,} / {small.count:,} rows", many / few, "x", TARGET, False, note)


@contextmanager
def _busy_server(scale: Scale, rows: Rows) -> Iterator[Process]:
    """The ready rows are not to be run meanwhile: the server has one slot, and one handler sits in it."""
    settings = {
        "QUART_APP_DATA_DIR": str(rows.folder),
        "QUART_APP_CONCURRENCY": "1",
        "QUART_APP_RETENTION_SECONDS": "0",
    }
    stop = rows.folder / "stop"
    with serve(scale.folder, settings) as server:
        made = server.call("POST", "/tasks/sit?priority=100", {"until": str(stop)})
        while server.call("GET", made["status_url"])["status"] == "pending":
            time.sleep(0.005)
        yield server
        stop.touch()
