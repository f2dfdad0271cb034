"""An idle system: one client makes a task, waits for its end in the same request, and pauses."""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Figure, Scale, percentile, serve
from benchmarks.load import Connection

REQUESTS = 1_000
PAUSE = 0.005


def run(scale: Scale) -> list[Figure]:
    with serve(scale.folder) as server:
        took = asyncio.run(_ask(server.port, scale.of(REQUESTS)))
    note = f"{len(took):,} requests with Prefer: wait, {PAUSE * 1000:g} ms apart"
    return [
        Figure("create to completed over HTTP, p50", percentile(took, 0.5), "ms", 3, higher=False, note=note),
        Figure("create to completed over HTTP, p99", percentile(took, 0.99), "ms", 15, higher=False),
    ]


async def _ask(port: int, requests: int) -> list[float]:
    connection = await Connection.open(port)
    request = connection.request("POST", "/tasks/same", '{"x":1}', "Prefer: wait=30\r\n")
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        status, _body = await connection.send(request)
        took.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise RuntimeError(f"the task had not ended: {status}")
        await asyncio.sleep(PAUSE)
    connection.close()
    return took
