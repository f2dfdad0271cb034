"""HTTP at 32 connections, beside a plain Quart app on the same Hypercorn configuration; and both on a slow disk."""

from __future__ import annotations

import json

from benchmarks import load
from benchmarks.harness import Figure, Process, Scale, interleaved, median, ratio, serve, serve_plain
from benchmarks.slowdisk import slow_disk

CONNECTIONS = 32
BODY = '{"x":1}'
SLOW_MS = 5


class Post:
    """The load of the kind that returns its argument: tasks completed a second over the window of the load."""

    def __init__(self, server: Process, scale: Scale) -> None:
        self._server = server
        self._scale = scale
        self.p99: list[float] = []

    def __call__(self) -> float:
        scale, server = self._scale, self._server
        before = server.completed()
        found = load.run(scale.folder, server.port, "/tasks/same", BODY, CONNECTIONS, scale.seconds)
        done = server.completed() - before
        self.p99.append(found.p99)
        server.wait_idle(60)
        return min(done, found.answers) / found.seconds


class Plain:
    """A load whose answers are the figure."""

    def __init__(self, server: Process, scale: Scale, path: str, body: str | None) -> None:
        self._server = server
        self._scale = scale
        self._path = path
        self._body = body
        self.p99: list[float] = []

    def __call__(self) -> float:
        scale = self._scale
        found = load.run(scale.folder, self._server.port, self._path, self._body, CONNECTIONS, scale.seconds)
        self.p99.append(found.p99)
        return found.rate


def run(scale: Scale) -> list[Figure]:
    with serve(scale.folder) as ours:
        task = ours.call("POST", "/tasks/same", {"x": 1}, {"Prefer": "wait=10"})
        with serve_plain(scale.folder, {"BENCHMARK_DOCUMENT": json.dumps(task)}) as plain:
            post, echo = Post(ours, scale), Plain(plain, scale, "/echo", BODY)
            get = Plain(ours, scale, f"/tasks/{task['task_id']}", None)
            document = Plain(plain, scale, f"/document/{task['task_id']}", None)
            found = interleaved(scale.rounds, {"echo": echo, "tasks": post, "plain get": document, "task get": get})
    return [
        Figure(
            "plain Quart JSON echo",
            median(found["echo"]),
            "requests/s",
            note=f"{CONNECTIONS} connections, {load.tool()}",
        ),
        Figure("tasks accepted and completed", median(found["tasks"]), "tasks/s"),
        Figure(
            "tasks accepted and completed over HTTP / requests of a plain Quart echo",
            ratio(found["tasks"], found["echo"]),
            "x",
            0.75,
        ),
        Figure("p99 of the echo", median(echo.p99), "ms"),
        Figure("p99 of the 202", median(post.p99), "ms"),
        Figure("p99 of the 202 / p99 of the echo", ratio(post.p99, echo.p99), "x", 2, higher=False),
        Figure("plain Quart GET of an equal document", median(found["plain get"]), "requests/s"),
        Figure("GET of a task", median(found["task get"]), "requests/s"),
        Figure(
            "GET of a task / GET of an equal document from plain Quart",
            ratio(found["task get"], found["plain get"]),
            "x",
            0.75,
        ),
    ]


def run_slow_disk(scale: Scale) -> list[Figure]:
    disk = slow_disk(scale.folder, SLOW_MS)
    with serve(scale.folder, disk.environment, disk.prefix) as ours, serve_plain(scale.folder) as plain:
        post, echo = Post(ours, scale), Plain(plain, scale, "/echo", BODY)
        found = interleaved(scale.rounds, {"echo": echo, "tasks": post})
    note = f"each fsync takes {SLOW_MS} ms more, by {disk.means}"
    return [
        Figure(
            "plain Quart JSON echo",
            median(found["echo"]),
            "requests/s",
            note=f"{CONNECTIONS} connections, {load.tool()}",
        ),
        Figure("tasks accepted and completed on a slow disk", median(found["tasks"]), "tasks/s", note=note),
        Figure("the same on a disk of 5 ms fsync / plain Quart echo", ratio(found["tasks"], found["echo"]), "x", 0.45),
        Figure("p99 of the 202", median(post.p99), "ms"),
    ]
