"""200,000 tasks that wait for their time: what they add to the process, and how long the loop ever stops meanwhile."""

from __future__ import annotations

import psutil

from benchmarks.harness import Figure, Process, Scale, serve

TASKS = 200_000
BATCH = 1_000
MIB = 2**20


def run(scale: Scale) -> list[Figure]:
    tasks = scale.of(TASKS, BATCH)
    stop = scale.folder / "stop"
    with serve(scale.folder) as server:
        process = psutil.Process(server.pid)
        _warm_up(server)
        watch = server.call("POST", "/tasks/watch-loop", {"until": str(stop)})["task_id"]
        before = process.memory_info().rss
        body = [{"kind": "same", "args": {"x": number}, "delay": 86_400} for number in range(BATCH)]
        for _ in range(tasks // BATCH):
            server.call("POST", "/tasks", body)
        added = (process.memory_info().rss - before) / MIB
        stop.touch()
        found = server.call("GET", f"/tasks/{watch}?wait=30")["result"]
        waiting = server.call("GET", "/status")["queues"]["default"]["delayed"]
    if waiting < tasks:
        raise RuntimeError(f"{waiting} of {tasks} tasks wait")
    note = f"{tasks:,} delayed tasks, {added * MIB / tasks:.0f} bytes each"
    return [
        Figure("memory that 200,000 waiting tasks add", added, "MiB", 40, higher=False, note=note),
        Figure("longest stop of the event loop while they arrive", found["longest_ms"], "ms", 50, higher=False),
    ]


def _warm_up(server: Process) -> None:
    """What the first tasks and arrays load and cache is not the price of those that wait."""
    server.call("POST", "/tasks", [{"kind": "same", "args": {"x": 1}}] * BATCH)
    server.wait_completed(BATCH, 60)
