"""Sockets that somebody opens and never uses, more than the server has descriptors: what another client's POSTs notice
of them, and what the log does. Under both servers where uvicorn is installed.

`python -m benchmarks.connections PORT COUNT` is the one who opens them, and opens anew what is closed, until its stdin
ends."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.harness import ROOT, Figure, Process, Scale, median, percentile, serve
from benchmarks.load import Connection

CASES = ((256, 400), (4096, 10_000))  # descriptors, sockets
ANEW = 50  # a second
ROUNDS = 3
PER_CONNECTION = 50  # POSTs
TARGET = 3.0  # times
MIB = 2**20
HEAD = b"POST /tasks/same HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


def run(scale: Scale) -> list[Figure]:
    kinds = ["hypercorn", *(["uvicorn"] if importlib.util.find_spec("httptools") else [])]
    cases = [(128, 200)] if scale.smoke else CASES
    return [figure for kind in kinds for limit, count in cases for figure in _case(scale, kind, limit, count)]


def _case(scale: Scale, kind: str, limit: int, count: int) -> list[Figure]:
    limited = ("sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh")
    folder = scale.folder / f"{kind}-{limit}"
    folder.mkdir()
    settings = {"QUART_APP_DATA_DIR": str(folder / "data"), "QUART_APP_LOG_LEVEL": "INFO"}
    ratios, afterwards, lost = [], [], 0
    with serve(folder, settings, limited, kind) as server:
        asyncio.run(_posts(server, scale.seconds / 2))
        written = _written(folder)
        for _ in range(1 if scale.smoke else ROUNDS):
            before, _ = asyncio.run(_posts(server, scale.seconds))
            with _opened(server.port, count):
                during, failed = asyncio.run(_posts(server, scale.seconds))
            time.sleep(1)  # it closes them all
            after, _ = asyncio.run(_posts(server, scale.seconds))
            ratios.append(during / before)
            afterwards.append(after / before)
            lost += failed
        grown = _written(folder) - written
    what = f"{count:,} unused sockets, {limit:,} descriptors, {kind}"
    return [
        Figure(f"{what}: POST p99", median(ratios), "x", TARGET, False, "of that before"),
        Figure(f"{what}: POSTs without an answer", lost, "", 0, False),
        Figure(f"{what}: POST p99 afterwards", median(afterwards), "x", TARGET, False),
        Figure(f"{what}: the log grows by", grown / MIB, "MiB", 1, False),
    ]


async def _posts(server: Process, seconds: float) -> tuple[float, int]:
    """The p99 of POSTs one after the other, connecting included, in ms; and how many were not answered with 202."""
    took, failed, ends = [], 0, time.perf_counter() + seconds
    post = Connection.request("POST", "/tasks/same", '{"x":1}')
    while (began := time.perf_counter()) < ends:
        try:
            connection = await Connection.open(server.port)
            for _ in range(PER_CONNECTION):
                status, _ = await connection.send(post)
                failed += status != 202
                took.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.002)
                began = time.perf_counter()
            connection.close()
        except (OSError, EOFError):
            failed += 1
    return percentile(took, 0.99) if took else seconds * 1000, failed


def _written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.log*"))


# --- the one who opens them


@contextmanager
def _opened(port: int, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.connections", str(port), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        assert attacker.stdout is not None
        attacker.stdout.readline()
        yield
        attacker.communicate()


def _attack(port: int, count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [_open(port, number) for number in range(count)]
    print("opened", flush=True)
    poll = select.poll()
    while not select.select([sys.stdin], [], [], 1 / ANEW)[0]:
        for number, one in enumerate(held):
            poll.register(one, select.POLLIN)
            if poll.poll(0):
                one.close()
                held[number] = _open(port, number)
                break
            poll.unregister(one)
        held.append(held.pop(0))
        poll = select.poll()
    os._exit(0)


def _open(port: int, number: int) -> socket.socket:
    """Every second one sends the beginning of a head."""
    made = socket.socket()
    made.settimeout(5)
    with suppress(OSError):
        made.connect(("127.0.0.1", port))
        if number % 2:
            made.sendall(HEAD)
    return made


if __name__ == "__main__":
    _attack(int(sys.argv[1]), int(sys.argv[2]))
