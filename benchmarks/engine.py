"""The engine without HTTP, beside Huey on SQLite and beside itself with one commit a statement; and batches."""

from __future__ import annotations

import time

from benchmarks.harness import Figure, Scale, child, interleaved, median, ratio, serve

TASKS = 20_000
HUEY_TASKS = 3_000  # its rate is steady from a thousand on
AT_ONCE = 50
BATCH = 1_000


def run(scale: Scale) -> list[Figure]:
    tasks, huey_tasks, alone = scale.of(TASKS), scale.of(HUEY_TASKS), scale.of(1_000)
    workers = _best_workers(scale)
    many = interleaved(
        scale.rounds,
        {
            "grouped": lambda: child("ours", scale.folder, "grouped", tasks, AT_ONCE),
            "one commit a statement": lambda: child("ours", scale.folder, "single", tasks // 4, AT_ONCE),
            "huey": lambda: child("huey_peer", scale.folder, workers, huey_tasks, AT_ONCE),
        },
    )
    lone = interleaved(
        scale.rounds,
        {
            "grouped, alone": lambda: child("ours", scale.folder, "grouped", alone, 1),
            "one commit a statement, alone": lambda: child("ours", scale.folder, "single", alone, 1),
        },
    )
    ours, single, huey = many.values()
    lone_ours, lone_single = lone.values()
    note = f"{huey_tasks:,} tasks, {workers} worker threads (its best of 1, 2, 4, 8)"
    return [
        Figure("engine, 50 at once", median(ours), "tasks/s", note=f"{tasks:,} no-op tasks, enqueue to pollable"),
        Figure("Huey on SQLite with fsync", median(huey), "tasks/s", note=note),
        Figure("engine, 50 at once / Huey on SQLite with fsync", ratio(ours, huey), "x", 5),
        Figure("engine, one commit a statement", median(single), "tasks/s"),
        Figure("engine, 50 at once / the same with one commit a statement", ratio(ours, single), "x", 3),
        Figure("engine, one at a time", median(lone_ours), "tasks/s"),
        Figure("engine, one at a time / the same with one commit a statement", ratio(lone_ours, lone_single), "x", 0.9),
    ]


def run_batch(scale: Scale) -> list[Figure]:
    huey_tasks = scale.of(HUEY_TASKS)
    workers = _best_workers(scale)
    found = interleaved(
        scale.rounds,
        {
            "arrays": lambda: _post_arrays(scale),
            "huey": lambda: child("huey_peer", scale.folder, workers, huey_tasks, AT_ONCE),
        },
    )
    ours, huey = found.values()
    return [
        Figure("POST /tasks, arrays of 1,000", median(ours), "tasks/s", note="until all are completed"),
        Figure("Huey end to end", median(huey), "tasks/s"),
        Figure("POST /tasks with arrays of 1,000 / Huey on SQLite with fsync", ratio(ours, huey), "x", 3),
    ]


def _post_arrays(scale: Scale) -> float:
    arrays = max(scale.of(TASKS) // BATCH, 1)
    body = [{"kind": "noop"}] * BATCH
    with serve(scale.folder) as server:
        server.call("POST", "/tasks/noop", {}, {"Prefer": "wait=10"})
        began = time.perf_counter()
        for _ in range(arrays):
            server.call("POST", "/tasks", body)
        server.wait_completed(arrays * BATCH + 1, 120)
        return arrays * BATCH / (time.perf_counter() - began)


def _best_workers(scale: Scale) -> int:
    tasks = scale.of(1_000)
    return max((1, 2, 4, 8), key=lambda workers: child("huey_peer", scale.folder, workers, tasks, AT_ONCE))
