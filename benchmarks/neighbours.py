"""One bad neighbour beside good ones: what eight clients that make tasks notice of it, on this disk and on a slow one.

Each case is measured without the neighbour and beside it, by turns, and the ratios are of one round."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.found_before import database_in, halves, heaps, plans
from benchmarks.harness import Figure, Process, Scale, median, percentile, serve, table
from benchmarks.load import Connection
from benchmarks.slowdisk import SlowDisk, slow_disk

CLIENTS = 8
ROUNDS = 3
SLOW_MS = 5
TARGET = 3.0  # times
BODY = '{"x":1}'

Neighbour = Callable[[Process, Scale], AbstractAsyncContextManager[None]]


@dataclass
class Heard:
    """How long each answer took, in ms, and the answers a second."""

    posts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    rate: float = 0.0


@dataclass(frozen=True)
class Case:
    name: str
    neighbour: Neighbour
    prepare: Callable[[Path, Scale], None] = lambda data, scale: None
    seconds: int = 4
    retention: int = 0  # of the server that has the neighbour; the other one keeps everything


class Caller:
    """A client that opens a new connection now and then: a server closes one after a thousand requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None
        self._sent = 0

    async def send(self, request: bytes) -> tuple[int, bytes]:
        if self._sent == 500:
            self.close()
        if self._connection is None:
            self._connection, self._sent = await Connection.open(self._port), 0
        self._sent += 1
        return await self._connection.send(request)

    async def expect(self, request: bytes, *wanted: int) -> bytes:
        status, body = await self.send(request)
        if status not in wanted:
            raise RuntimeError(f"a client was answered {status}: {body[:200]!r}")
        return body

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# --- the good ones


async def listen(port: int, seconds: float) -> Heard:
    """Eight clients make tasks as fast as they are answered, a ninth looks at one."""
    heard = Heard()
    made = await Caller(port).expect(Connection.request("POST", "/tasks/same", BODY), 202)
    look = Connection.request("GET", f"/tasks/{json.loads(made)['task_id']}")
    ends = time.perf_counter() + seconds
    post = Connection.request("POST", "/tasks/same", BODY)
    await asyncio.gather(
        *(_ask(port, post, ends, heard.posts, 0.0) for _ in range(CLIENTS)), _ask(port, look, ends, heard.gets, 0.002)
    )
    if not heard.posts or not heard.gets:
        raise RuntimeError("nobody was answered")
    heard.rate = len(heard.posts) / seconds
    return heard


async def _ask(port: int, request: bytes, ends: float, took: list[float], pause: float) -> None:
    caller = Caller(port)
    try:
        while (began := time.perf_counter()) < ends:
            await caller.expect(request, 200, 202)
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(pause)
    finally:
        caller.close()


# --- the bad ones


@asynccontextmanager
async def _together(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    async def again(once: Callable[[], Awaitable[None]]) -> None:
        while True:
            await once()

    tasks = [asyncio.create_task(again(once)) for once in loops]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()  # a neighbour that has failed is none
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def wrong_keys(clients: int) -> Neighbour:
    @asynccontextmanager
    async def neighbour(server: Process, scale: Scale) -> AsyncIterator[None]:
        """Clients that use an Idempotency-Key again, with other args."""
        callers = [Caller(server.port) for _ in range(clients)]
        first, other = (
            Connection.request("POST", "/tasks/same", json.dumps({"x": x}), "Idempotency-Key: used\r\n") for x in (1, 2)
        )
        await callers[0].expect(first, 202, 200)

        def asks(caller: Caller) -> Callable[[], Awaitable[None]]:
            async def once() -> None:
                await caller.expect(other, 422)

            return once

        async with _together(*map(asks, callers)):
            yield

    return neighbour


@asynccontextmanager
async def many_lines(server: Process, scale: Scale) -> AsyncIterator[None]:
    """A task that logs 20,000 lines at once, and again when they are written."""
    caller = Caller(server.port)
    body = json.dumps({"lines": scale.of(20_000)})
    request = Connection.request("POST", "/tasks/lines-at-once", body, "Prefer: wait=60\r\n")

    async def once() -> None:
        await caller.expect(request, 200, 202)

    async with _together(once):
        yield


@asynccontextmanager
async def replays(server: Process, scale: Scale) -> AsyncIterator[None]:
    """Tasks that have recorded 60 steps of a megabyte each, and are resumed again and again."""
    gate = scale.folder / f"gate-{server.port}-{time.monotonic_ns()}"
    args = {"steps": scale.of(60), "size": 1_000_000, "gate": str(gate)}
    made = [server.call("POST", "/tasks/replay", args)["task_id"] for _ in range(4)]
    for task_id in made:
        ends = time.monotonic() + 120
        while server.call("GET", f"/tasks/{task_id}")["attempt"] < 2:
            if time.monotonic() > ends:
                raise RuntimeError("the steps are not recorded")
            await asyncio.sleep(0.05)
    gate.touch()
    try:
        yield
    finally:
        for task_id in made:
            server.call("POST", f"/tasks/{task_id}/cancel")
        server.wait_idle(60)


@asynccontextmanager
async def deletions(server: Process, scale: Scale) -> AsyncIterator[None]:
    """A client that deletes tasks of 10,000 events each, one after the other."""
    caller = Caller(server.port)
    found = server.call("GET", "/tasks?kind=noop&status=completed&limit=100")["tasks"]
    left = iter([one["task_id"] for one in found])

    async def once() -> None:
        task_id = next(left, None)
        if task_id is None:
            await asyncio.sleep(1)
        else:
            await caller.expect(Connection.request("DELETE", f"/tasks/{task_id}"), 204)

    async with _together(once):
        yield


@asynccontextmanager
async def upkeep(server: Process, scale: Scale) -> AsyncIterator[None]:
    """What the server has to do by itself."""
    yield


@asynccontextmanager
async def hang_ups(server: Process, scale: Scale) -> AsyncIterator[None]:
    """Callers of a slow listing who hang up after half a second."""
    patience = 0.1 if scale.smoke else 0.5

    async def once() -> None:
        connection = await Connection.open(server.port)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                patience
            ):  # wait_for of Python 3.11 can swallow the cancel at the end of the case
                await connection.send(Connection.request("GET", "/tasks?status=completed&kind=same&limit=10"))
        connection.close()

    async with _together(*[once] * 6):
        yield


CASES = (
    Case("one client with wrong keys", wrong_keys(1)),
    Case("four clients with wrong keys", wrong_keys(4)),
    Case("20,000 log lines at once", many_lines),
    Case("steps of 240 MB resumed", replays),
    Case("deletion of tasks of 10,000 events", deletions, heaps),
    Case("retention of tasks of 10,000 events", upkeep, heaps, retention=86_400),
    Case("2,000 schedules and expired uploads", upkeep, plans, seconds=12),
    Case("slow listings whose callers hang up", hang_ups, halves),
)


def run(scale: Scale) -> list[Figure]:
    found: list[Figure] = []
    slow = slow_disk(scale.folder, SLOW_MS)
    for case in CASES:
        data = scale.folder / case.name.replace(" ", "-").replace(",", "")
        case.prepare(data, scale)
        disks: list[tuple[str, SlowDisk | None]] = [("", None), (f", fsync +{SLOW_MS} ms", slow)]
        for where, disk in disks if not scale.smoke or case is CASES[0] else disks[:1]:
            found += _measure(case, scale, data, disk, where)
            print(table(found[-4:]), file=sys.stderr, flush=True)
        if data.exists():
            shutil.rmtree(data)
    return found


def _measure(case: Case, scale: Scale, data: Path, disk: SlowDisk | None, where: str) -> list[Figure]:
    rounds: list[tuple[Heard, Heard]] = []
    for _ in range(ROUNDS if not scale.smoke else 1):
        beside = _listen(case, scale, data, disk, beside=True)
        # A smoke run is there to see the neighbour at work; a server that has none is seen by the first case.
        alone = beside if scale.smoke and case is not CASES[0] else _listen(case, scale, data, disk, beside=False)
        rounds.append((alone, beside))
    figures = []
    for what, of in (
        ("p50", lambda heard: percentile(heard.posts, 0.5)),
        ("p99", lambda heard: percentile(heard.posts, 0.99)),
        ("GET p99", lambda heard: percentile(heard.gets, 0.99)),
        ("rate", lambda heard: heard.rate),
    ):
        pairs = [(of(alone), of(beside)) for alone, beside in rounds]
        times = median([a / b if what == "rate" else b / a for a, b in pairs])
        note = "{:.3g} alone, {:.3g} beside it".format(*(median(list(side)) for side in zip(*pairs, strict=True)))
        label = {"p50": "POST p50", "p99": "POST p99", "rate": "POSTs a second, slower by"}.get(what, what)
        figures.append(Figure(f"{case.name}{where}: {label}", times, "x", TARGET, False, note))
    return figures


def _listen(case: Case, scale: Scale, data: Path, disk: SlowDisk | None, beside: bool) -> Heard:
    own = scale.folder / f"own-{time.monotonic_ns()}"
    if data.exists():
        shutil.copytree(data, own)
    if not beside and case.neighbour is upkeep and not case.retention:
        with database_in(own) as database:
            database.execute("DELETE FROM uploads")
    environment = {
        "QUART_APP_DATA_DIR": str(own),
        "QUART_APP_RETENTION_SECONDS": str(case.retention if beside else 0),
        "QUART_APP_SCHEDULES": "0",
        **(disk.environment if disk else {}),
    }
    try:
        with serve(scale.folder, environment, disk.prefix if disk else ()) as server:
            return asyncio.run(_listen_beside(case, scale, server, beside))
    finally:
        shutil.rmtree(own)


async def _listen_beside(case: Case, scale: Scale, server: Process, beside: bool) -> Heard:
    seconds = min(case.seconds, scale.seconds) if scale.smoke else case.seconds
    if not case.retention:  # retention begins with the server
        await listen(server.port, 0.1 if scale.smoke else 0.5)
    if not beside:
        return await listen(server.port, seconds)
    async with case.neighbour(server, scale):
        return await listen(server.port, seconds)
