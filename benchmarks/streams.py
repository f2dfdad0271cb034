"""2,000 clients of event streams, 500 of which stop reading: memory, and how quickly others are answered meanwhile; how
soon an event arrives after its commit; and 1,000 clients that come back over deaths of the server."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import psutil

from benchmarks.harness import Figure, Process, Scale, percentile, serve
from benchmarks.load import Connection

CLIENTS = 2_000
STALLED = 500
RESUMING = 1_000
LIVES = 3
WAKE_UPS = 300
MIB = 2**20


def run(scale: Scale) -> list[Figure]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return [*_crowd(scale), *_resume(scale)]


# --- many at once


def _crowd(scale: Scale) -> list[Figure]:
    clients, stalled = scale.of(CLIENTS), scale.of(STALLED)
    stop = scale.folder / "stop"
    with (
        serve(scale.folder, {"QUART_APP_CONCURRENCY": "100", "QUART_APP_MAX_STREAMS": str(CLIENTS + 10)}) as server,
        ExitStack() as opened,
    ):
        process = psutil.Process(server.pid)
        chatter = server.call("POST", "/tasks/chatter", {"lines": 400}, {"Prefer": "wait=60"})["task_id"]
        ids = [server.call("POST", "/tasks/sit", {"until": str(stop)})["task_id"] for _ in range(50)]
        for _ in range(stalled):
            opened.enter_context(_open(server.port, f"/tasks/{chatter}/events", small=True))
        for number in range(clients - stalled):
            opened.enter_context(_open(server.port, f"/tasks/{ids[number % 50]}/events"))
        took, peak = asyncio.run(_ask(server, scale.of(900, 50), process))
        wake_ups = asyncio.run(_wake(server, scale.of(WAKE_UPS, 10)))
        _wait_for(lambda: process.num_fds() < clients - stalled + 100, 45, "the stalled clients are cut")
        stop.touch()
    note = f"{clients:,} clients, {stalled:,} of them stopped reading"
    return [
        Figure("memory of the process with 2,000 streams, 500 stalled", peak / MIB, "MiB", 300, False, note),
        Figure("GET of a task meanwhile, p99", percentile(took, 0.99), "ms", 100, higher=False),
        Figure("commit to event at the client meanwhile, p99", percentile(wake_ups, 0.99), "ms", 50, higher=False),
        Figure("the same, p50", percentile(wake_ups, 0.5), "ms"),
    ]


async def _ask(server: Process, requests: int, process: psutil.Process) -> tuple[list[float], int]:
    """How long answers take, in ms, and the most memory seen meanwhile, in bytes."""
    connection = await Connection.open(server.port)
    request = connection.request("GET", "/tasks?limit=1")
    made = json.loads((await connection.send(request))[1])["tasks"][0]["task_id"]
    request = connection.request("GET", f"/tasks/{made}")
    took, peak = [], 0
    for _ in range(requests):
        began = time.perf_counter()
        await connection.send(request)
        took.append((time.perf_counter() - began) * 1000)
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.005)
    connection.close()
    return took, peak


async def _wake(server: Process, tasks: int) -> list[float]:
    """From the time in an event, which is taken before its commit, to its arrival, in ms."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /events?kind=same HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"id: ")
    connection = await Connection.open(server.port)
    request = connection.request("POST", "/tasks/same", '{"x":1}')
    took = []
    for _ in range(tasks):
        await connection.send(request)
        for _event in ("enqueue", "claim", "complete"):
            await reader.readuntil(b"\ndata: ")
            event = json.loads(await reader.readuntil(b"\n"))
            took.append((time.time() - datetime.fromisoformat(event["at"]).timestamp()) * 1000)
        await asyncio.sleep(0.01)
    writer.close()
    connection.close()
    return took


def _open(port: int, path: str, small: bool = False) -> socket.socket:
    opened = socket.socket()
    if small:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect(("127.0.0.1", port))
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    opened.recv(1)
    return opened


def _wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise RuntimeError(f"not after {seconds} s: {what}")
        time.sleep(0.1)


# --- over deaths of the server


def _resume(scale: Scale) -> list[Figure]:
    clients = scale.of(RESUMING)
    settings = {"QUART_APP_DATA_DIR": str(scale.folder / "resumed")}
    seen: list[list[int]] = [[] for _ in range(clients)]
    ids: list[str] = []
    for life in range(LIVES):
        with serve(scale.folder, settings) as server:
            if not ids:
                body = [{"kind": "count", "args": {"n": 30, "pause": 0.3}}] * min(clients, 50)
                ids = [one["task_id"] for one in server.call("POST", "/tasks", body)["tasks"]]
            last = life == LIVES - 1
            asyncio.run(_follow(server, ids, seen, 60 if last else 4))
            if last:
                rows = {one: server.call("GET", f"/tasks/{one}/history")["events"] for one in ids}
            else:
                server.kill()
    gaps = repeats = 0
    for number, found in enumerate(seen):
        whole = [row["seq"] for row in rows[ids[number % len(ids)]]]
        gaps += len(set(whole) - set(found))
        repeats += len(found) - len(set(found))
        if sorted(set(found)) != list(dict.fromkeys(found)):
            raise RuntimeError("events out of order")
    note = f"{clients:,} clients of {len(ids)} tasks over {LIVES - 1} times kill -9, {sum(map(len, seen)):,} events"
    return [
        Figure("events that a client missed over kill -9", gaps, "", 0, higher=False, note=note),
        Figure("events that a client got twice", repeats, "", 0, higher=False),
    ]


async def _follow(server: Process, ids: list[str], seen: list[list[int]], seconds: float) -> None:
    """Every client goes on after the last event it saw, until its task has ended or time is up."""

    async def one(number: int) -> None:
        path, found = f"/tasks/{ids[number % len(ids)]}/events", seen[number]
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            last = f"Last-Event-ID: {found[-1]}\r\n" if found else ""
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n".encode())
            ended: Any = (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            try:
                while not ended:
                    await reader.readuntil(b"\nid: ")
                    number_of_event = int(await reader.readuntil(b"\n"))
                    await reader.readuntil(b"\ndata: ")
                    await reader.readuntil(b"\n")  # whole; the line end that closes the frame opens the next
                    found.append(number_of_event)
            except asyncio.IncompleteReadError:
                continue
            finally:
                writer.close()
            return

    tasks = [asyncio.create_task(one(number)) for number in range(len(seen))]
    done, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
