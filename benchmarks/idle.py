"""An idle system: one client makes a task, waits for its end in the same request, and pauses. Before each it asks a
plain Quart app for an echo, so that both meet the same machine."""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Figure, Scale, percentile, serve, serve_plain
from benchmarks.load import Connection

REQUESTS = 1_000
PAUSE = 0.005


def run(scale: Scale) -> list[Figure]:
    with serve(scale.folder) as server, serve_plain(scale.folder) as plain:
        took, echo = asyncio.run(_ask(server.port, plain.port, scale.of(REQUESTS)))
    note = f"{len(took):,} requests with Prefer: wait, {PAUSE * 1000:g} ms apart"
    p50, round_trip = percentile(took, 0.5), percentile(echo, 0.5)
    return [
        Figure("create to completed over HTTP, p50", p50, "ms", note=note),
        Figure("round trip of a plain Quart echo, p50", round_trip, "ms", note="one before each of them"),
        Figure("create to completed, p50 / round trip of the echo, p50", p50 / round_trip, "x", 2.7, higher=False),
        Figure("create to completed over HTTP, p99", percentile(took, 0.99), "ms", 15, higher=False),
    ]


async def _ask(ours: int, plain: int, requests: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each create, and of each echo."""
    task, echo = await Connection.open(ours), await Connection.open(plain)
    create = task.request("POST", "/tasks/same", '{"x":1}', "Prefer: wait=30\r\n")
    say = echo.request("POST", "/echo", '{"x":1}')
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(requests):
        for connection, request, times in ((echo, say, took[1]), (task, create, took[0])):
            began = time.perf_counter()
            status, _body = await connection.send(request)
            times.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise RuntimeError(f"not answered at once, or the task had not ended: {status}")
            await asyncio.sleep(PAUSE)
    task.close()
    echo.close()
    return took
