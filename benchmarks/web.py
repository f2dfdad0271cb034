"""HTTP at 32 connections, beside a plain Quart app on the same Hypercorn configuration; and both on a slow disk."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import load
from benchmarks.harness import Figure, Process, Scale, interleaved, median, ratio, serve, serve_plain
from benchmarks.slowdisk import slow_disk

CONNECTIONS = 32
BODY = '{"x":1}'
SLOW_MS = 5
TARGETS = {"hypercorn": 0.72, "uvicorn": 1.2}


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
    """All servers of one run side by side: what the machine does meanwhile falls on all of them."""
    kinds = ["hypercorn", *(["uvicorn"] if importlib.util.find_spec("httptools") else [])]
    with ExitStack() as started:
        ours = {kind: started.enter_context(serve(scale.folder, kind=kind)) for kind in kinds}
        made = {kind: one.call("POST", "/tasks/same", {"x": 1}, {"Prefer": "wait=10"}) for kind, one in ours.items()}
        document = {"BENCHMARK_DOCUMENT": json.dumps(made["hypercorn"])}
        plain = {kind: started.enter_context(serve_plain(scale.folder, document, kind)) for kind in kinds}
        posts = {kind: Post(one, scale) for kind, one in ours.items()}
        echo = Plain(plain["hypercorn"], scale, "/echo", BODY)
        runs: dict[str, Callable[[], float]] = {"echo": echo}
        for kind in kinds:
            path = f"/{made[kind]['task_id']}"
            runs[f"tasks, {kind}"] = posts[kind]
            runs[f"plain get, {kind}"] = Plain(plain[kind], scale, "/document" + path, None)
            runs[f"task get, {kind}"] = Plain(ours[kind], scale, "/tasks" + path, None)
        found = interleaved(scale.rounds, runs)
    post = posts["hypercorn"]
    figures = [
        Figure(
            "plain Quart JSON echo",
            median(found["echo"]),
            "requests/s",
            note=f"{CONNECTIONS} connections, {load.tool()}",
        ),
        Figure("p99 of the echo", median(echo.p99), "ms"),
        Figure("p99 of the 202", median(post.p99), "ms"),
        Figure("p99 of the 202 / p99 of the echo", ratio(post.p99, echo.p99), "x", 2, higher=False),
    ]
    for kind in kinds:
        served = "" if kind == "hypercorn" else ", served by uvicorn"
        tasks, get, plain_get = (found[f"{name}, {kind}"] for name in ("tasks", "task get", "plain get"))
        figures += [
            Figure(f"tasks accepted and completed{served}", median(tasks), "tasks/s"),
            Figure(
                f"tasks accepted and completed over HTTP{served} / requests of a plain Quart echo",
                ratio(tasks, found["echo"]),
                "x",
                TARGETS[kind],
                note="the echo is on Hypercorn",
            ),
            Figure(f"plain Quart GET of an equal document{served}", median(plain_get), "requests/s"),
            Figure(f"GET of a task{served}", median(get), "requests/s"),
            Figure(
                f"GET of a task / GET of an equal document from plain Quart{served}", ratio(get, plain_get), "x", 0.85
            ),
        ]
    return figures


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
