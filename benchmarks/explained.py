"""Why a task waits, among 1,000,000: of several owners, held back by limits, delayed, in a paused queue."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from benchmarks.bigdata import build
from benchmarks.harness import Figure, Scale, median, percentile
from benchmarks.kinds import noop
from quart_app import Limit, runtime, task
from quart_app.core.explanation import Coming
from quart_app.settings import Settings
from quart_app.store.lanes import SORT

TASKS = 1_000_000
CALLS = 200
TARGET = 5.0  # ms
ONE = Limit("one", concurrency=1)
SELDOM = Limit("seldom", rate="1/3600", key="customer")


@task("held", limits=[ONE], queue="limited")
async def held() -> None: ...


@task("seldom", limits=[SELDOM], queue="limited")
async def seldom(customer: int) -> None: ...


# Of each hundred: 45 due of the first owner, in no lane; 10 of a second and 5 of a thousand others; 10 for a limit of
# one at once, 5 for one of a thousand customers; 5 in a paused queue; 5 for later; 15 completed.
_ROWS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count - 1),
described AS (SELECT n / 100 AS number, n % 100 AS share, :began + n * 100 AS at FROM numbers)
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, attempt, max_attempts, fence,
  created_at, changed_at, started_at, completed_at, timeout_ms, args)
SELECT printf('%08x-%04x-7%03x-8000-%012x', (at >> 16) & 0xffffffff, at & 0xffff, share, number),
  CASE WHEN share BETWEEN 60 AND 69 THEN 'held' WHEN share BETWEEN 70 AND 74 THEN 'seldom' ELSE 'noop' END,
  CASE WHEN share BETWEEN 60 AND 74 THEN 'limited' WHEN share BETWEEN 75 AND 79 THEN 'still' ELSE 'default' END,
  CASE WHEN share BETWEEN 45 AND 54 OR share BETWEEN 65 AND 69 THEN 'bob'
       WHEN share BETWEEN 55 AND 59 THEN 'owner-' || (number % 1000) ELSE 'ann' END,
  CASE WHEN share < 85 THEN 'pending' ELSE 'completed' END, CASE WHEN share < 85 THEN 'enqueue' ELSE 'complete' END,
  share < 80, number % 3, CASE WHEN share BETWEEN 80 AND 84 THEN at + 864000000000 ELSE at END, share >= 85, 1,
  share >= 85, at, at, CASE WHEN share >= 85 THEN at END, CASE WHEN share >= 85 THEN at + share END, 3600000,
  CASE WHEN share BETWEEN 70 AND 74 THEN '{"customer":' || (number % 1000) || '}' ELSE '{}' END
FROM described ORDER BY at
"""
_QUEUES = "INSERT INTO queues (queue, sole, paused) VALUES ('default', 'ann', 0), ('still', 'ann', 1)"
_OF_ONE = "SELECT id FROM tasks WHERE ready = 1 AND queue = 'default' AND owner = "
CASES = {
    "the first of 450,000": f"{_OF_ONE}'ann' ORDER BY priority DESC, run_at, seq LIMIT 1",
    "the one in the middle": f"{_OF_ONE}'ann' AND priority = 1 AND seq > (SELECT max(seq) / 2 FROM tasks) LIMIT 1",
    "the last one": f"{_OF_ONE}'ann' AND priority = 0 ORDER BY seq DESC LIMIT 1",
    "the last one of a second owner": f"{_OF_ONE}'bob' AND priority = 0 ORDER BY seq DESC LIMIT 1",
    "one of a thousand owners": f"{_OF_ONE}'owner-7' ORDER BY seq DESC LIMIT 1",
    "the last one for a limit": "SELECT id FROM tasks WHERE ready = 1 AND kind = 'held' ORDER BY seq DESC LIMIT 1",
    "the last one for a rate": "SELECT id FROM tasks WHERE ready = 1 AND kind = 'seldom' ORDER BY seq DESC LIMIT 1",
    "a delayed one": "SELECT id FROM tasks WHERE status = 'pending' AND ready = 0 ORDER BY seq DESC LIMIT 1",
    "the last one of a paused queue": "SELECT id FROM tasks WHERE queue = 'still' ORDER BY seq DESC LIMIT 1",
    "one that has completed": "SELECT id FROM tasks WHERE status = 'completed' ORDER BY seq DESC LIMIT 1",
}
COMING = {
    "one to come of the first owner": Coming("noop", "default", "ann", 0, ()),
    "one to come of a new owner": Coming("noop", "default", "new", 0, ()),
    "one to come for a rate": Coming("seldom", "limited", "ann", 0, ("seldom/7",)),
}


def run(scale: Scale) -> list[Figure]:
    folder = scale.folder / "million"
    count = scale.of(TASKS)
    build(folder, count, (_QUEUES, _ROWS))
    return asyncio.run(_measure(folder, scale, count))


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[runtime.Runtime]:
    """All tasks are in their lanes, and those that start under the limits do."""
    settings = Settings(data_dir=str(folder), queue_limit=2 * TASKS)
    engine = runtime.Runtime(settings, lambda *_: None, [noop, held, seldom])
    database = await engine._storage.open()
    engine.build(database)
    await database.start()
    await engine.claim_limits.begin()
    try:
        while (await engine.claim_limits.run_once(0)) is not None or (await database.write([SORT]))[0]:
            pass
        while await engine.store.claim({"limited": 64}, engine.service.now(), _up(engine)):
            pass
        yield engine
    finally:
        await engine._storage.close()


def _up(engine: runtime.Runtime) -> int:
    return int(engine.clock.monotonic() * 1000)


async def _measure(folder: Path, scale: Scale, count: int) -> list[Figure]:
    figures = []
    async with _opened(folder) as engine:
        with closing(sqlite3.connect(folder / "tasks.db")) as database:
            ids = {name: database.execute(text).fetchone()[0] for name, text in CASES.items()}
        for name, task_id in ids.items():
            took = []
            for _ in range(scale.of(CALLS)):
                began = time.perf_counter()
                found = await engine.explainer.explain(task_id, None)
                took.append((time.perf_counter() - began) * 1000)
            figures.append(_figure(name, count, took, found.reason))
        for name, coming in COMING.items():
            took = []
            for _ in range(scale.of(CALLS)):
                began = time.perf_counter()
                await engine.explain_store.coming(coming, engine.service.now(), _up(engine))
                took.append((time.perf_counter() - began) * 1000)
            figures.append(_figure(name, count, took, "for Retry-After"))
    return figures


def _figure(name: str, count: int, took: list[float], what: str) -> Figure:
    note = f"{what}; p99 {percentile(took, 0.99):.2g} ms"
    return Figure(f"explain {name}, {count:,} tasks", median(took), "ms", TARGET, False, note)
