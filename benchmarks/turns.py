"""A single task of one owner over HTTP, while another owner has 100,000 that wait: short ones, or long ones that hold
every slot."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from benchmarks.harness import Figure, Process, Scale, median, serve
from benchmarks.kinds import nap, noop
from benchmarks.load import Connection
from quart_app import runtime
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.settings import Settings

WAITING = 100_000
SINGLES = 20
CHUNK = 1_000
TARGET = 1_000.0  # ms
LONG = 4.0  # seconds, of the long ones in the middle
KEYS = "ann:ann-opens-sesame,bob:bob-opens-sesame"
BOB = "Authorization: Bearer bob-opens-sesame\r\nPrefer: wait=60\r\n"


def run(scale: Scale) -> list[Figure]:
    alone = _singles(scale, "alone", "noop", 0)
    figures = []
    for kind, what in (("noop", "waiting"), ("nap", f"of {LONG:g} s waiting, which hold every slot")):
        count = scale.of(WAITING)
        beside = _singles(scale, kind, kind, count)
        name = f"a single task, {count:,} of another owner {what}"
        figures += [
            Figure(f"{name}: longest of {len(beside)}", max(beside), "ms", TARGET, False),
            Figure(f"{name}: p50", median(beside), "ms", None, False, f"{median(alone):.3g} ms alone"),
            Figure(f"{name}: p50 / alone", median(beside) / median(alone), "x", None, False),
        ]
    return figures


def _singles(scale: Scale, name: str, kind: str, count: int) -> list[float]:
    """How long single tasks of the other owner took, from the request to their end, in ms."""
    data = scale.folder / f"turns-{name}"
    asyncio.run(_fill(data, kind, count))
    settings = {"QUART_APP_DATA_DIR": str(data), "QUART_APP_API_KEYS": KEYS, "QUART_APP_DRAIN_SECONDS": "0"}
    with serve(scale.folder, settings) as server:
        if kind == "nap":
            time.sleep(1.5 * LONG)  # the first ones began together; from now on one ends now and then
        took = asyncio.run(_ask(server, scale.of(SINGLES, 3)))
        ann = {"Authorization": "Bearer ann-opens-sesame"}
        left = server.call("GET", "/tasks?status=pending&limit=1", headers=ann)["tasks"]
    if count and not left and not scale.smoke:
        raise RuntimeError("nobody waited any more beside the last one")
    return took


async def _fill(data: Path, kind: str, count: int) -> None:
    """As if they had come while the server was down."""
    settings = Settings(data_dir=str(data), queue_limit=2 * WAITING)
    engine = runtime.Runtime(settings, lambda *_: None, [noop, nap])
    database = await engine._storage.open()
    engine.build(database)
    await database.start()
    try:
        owner = EnqueueOptions(owner="ann")
        for first in range(0, count, CHUNK):
            numbers = range(first, min(first + CHUNK, count))
            # Not all of one length: they would end together.
            args = [{"seconds": LONG / 2 + number * 7 % 64 * LONG / 64} if kind == "nap" else {} for number in numbers]
            await engine.service.enqueue([TaskRequest(kind, one, owner) for one in args])
    finally:
        await engine._storage.close()


async def _ask(server: Process, count: int) -> list[float]:
    took = []
    connection = await Connection.open(server.port)
    request = Connection.request("POST", "/tasks/noop", "{}", BOB)
    for number in range(count + 1):
        began = time.perf_counter()
        status, body = await connection.send(request)
        if status != 200 or json.loads(body)["status"] != "completed":
            raise RuntimeError(f"{status} {body[:200]!r}")
        if number:  # the first one comes while the server is starting
            took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.3)
    connection.close()
    return took
