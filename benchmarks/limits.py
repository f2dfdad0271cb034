"""Limits and turns without HTTP: what held-back tasks cost others, a hand-over, and limits that hold nothing back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.harness import Figure, Scale, median
from benchmarks.kinds import noop
from quart_app import Limit, runtime, task
from quart_app.core.task import Claimed
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.settings import Settings
from quart_app.store.tasks import SqlStore

HELD = 50_000
MANY = 200_000
CALLS = 60
CHUNK = 1_000
ONE = Limit("one", concurrency=1)
HIGH = Limit("high", concurrency=100_000, rate="100000/1")


@task("held", limits=[ONE])
async def held() -> None: ...


@task("limited", limits=[HIGH])
async def limited() -> None: ...


def run(scale: Scale) -> list[Figure]:
    return asyncio.run(_run(scale))


async def _run(scale: Scale) -> list[Figure]:
    plain, beside = [], []
    for turn in range(scale.rounds):  # side by side, so that what the machine does meanwhile falls on both
        plain.append(await _claims(scale.folder / f"plain{turn}", scale, 0))
        beside.append(await _claims(scale.folder / f"beside{turn}", scale, scale.of(HELD)))
    few = await _hand_over(scale.folder / "few", 100)
    many = await _hand_over(scale.folder / "many", scale.of(MANY))
    free, high = [], []
    for turn in range(scale.rounds):
        free.append(await _rate(scale.folder / f"free{turn}", scale, "noop"))
        high.append(await _rate(scale.folder / f"high{turn}", scale, "limited"))
    note = f"{scale.of(HELD):,} tasks wait for a limit, in the same queue"
    return [
        Figure("a claim of 64 beside held-back tasks / alone", median(beside) / median(plain), "x", 1.2, False, note),
        Figure(f"a hand-over with {scale.of(MANY):,} held back / with 100", many / few, "x", 1.5, False),
        Figure("the same with 100", few * 1000, "ms"),
        Figure("store, limits set and not reached / none", median(high) / median(free), "x", 0.85),
    ]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[runtime.Runtime, SqlStore]]:
    """A store that nobody claims from but this."""
    engine = runtime.Runtime(Settings(data_dir=str(folder), queue_limit=10**6), lambda *_: None, [noop, held, limited])
    database = await engine._storage.open()
    engine.build(database)
    await database.start()
    await engine.claim_limits.begin()
    try:
        yield engine, engine.store
    finally:
        await engine._storage.close()


async def _fill(engine: runtime.Runtime, kind: str, count: int, owner: str = "") -> None:
    for first in range(0, count, CHUNK):
        options = EnqueueOptions(owner=owner)
        size = min(CHUNK, count - first)
        await engine.service.enqueue([TaskRequest(kind, {}, options) for _ in range(size)])


async def _end(engine: runtime.Runtime, tasks: list[Claimed]) -> None:
    await asyncio.gather(*(engine.store.complete(one.id, one.fence, "null", engine.service.now()) for one in tasks))


async def _claims(folder: Path, scale: Scale, waiting: int) -> float:
    """Seconds of a claim of 64 tasks without limits, in the middle."""
    async with opened(folder) as (engine, store):
        await _fill(engine, "held", waiting)
        if waiting:
            await store.claim({"default": 1}, engine.service.now())
        calls = scale.of(CALLS, 3)
        await _fill(engine, "noop", 64 * calls)
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            found = await store.claim({"default": 64}, engine.service.now())
            taken.append(time.perf_counter() - begun)
            assert len(found) == 64
            await _end(engine, found)
        return median(taken)


async def _hand_over(folder: Path, waiting: int) -> float:
    """Seconds from the end of a task to the claim of the next one under its limit, in the middle."""
    async with opened(folder) as (engine, store):
        await _fill(engine, "held", waiting)
        (running,) = await store.claim({"default": 8}, engine.service.now())
        taken = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            await _end(engine, [running])
            (running,) = await store.claim({"default": 8}, engine.service.now())
            taken.append(time.perf_counter() - begun)
        return median(taken)


async def _rate(folder: Path, scale: Scale, kind: str) -> float:
    """Tasks a second: enqueued one by one, claimed by 64, ended one by one."""
    count = scale.of(8_000, 128)
    async with opened(folder) as (engine, store):
        begun, done = time.perf_counter(), 0
        while done < count:
            await asyncio.gather(*(engine.service.enqueue([TaskRequest(kind, {})]) for _ in range(64)))
            found = await store.claim({"default": 64}, engine.service.now())
            await _end(engine, found)
            done += len(found)
        return done / (time.perf_counter() - begun)
