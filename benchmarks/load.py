"""HTTP load: wrk when it is installed, else an asyncio client of raw connections. Bounded in time."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import percentile

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What was answered in how long; `p99` in ms."""

    answers: int
    seconds: float
    p99: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def tool() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio client"


def run(folder: Path, port: int, path: str, body: str | None, connections: int, seconds: float) -> Load:
    """Raises RuntimeError when any answer is not 2xx."""
    if shutil.which("wrk"):
        return _wrk(folder, port, path, body, connections, seconds)
    return asyncio.run(_clients(port, path, body, connections, seconds))


def _wrk(folder: Path, port: int, path: str, body: str | None, connections: int, seconds: float) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--latency"]  # it takes no half seconds
    if body is not None:
        script = folder / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = [[{body}]]\nwrk.headers["Content-Type"] = "application/json"\n'
        )
        command += ["-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{path}")
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    count = re.search(r"([0-9]+) requests in ([0-9.]+)(ms|s)", text)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", text)
    if count is None or p99 is None or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"{path}: {text}")
    return Load(int(count[1]), float(count[2]) * _UNITS[count[3]] / 1000, float(p99[1]) * _UNITS[p99[2]])


async def _clients(port: int, path: str, body: str | None, connections: int, seconds: float) -> Load:
    took: list[float] = []
    ends = time.perf_counter() + seconds
    began = time.perf_counter()
    await asyncio.gather(*(_client(port, path, body, ends, took) for _ in range(connections)))
    return Load(len(took), time.perf_counter() - began, percentile(took, 0.99) * 1000)


async def _client(port: int, path: str, body: str | None, ends: float, took: list[float]) -> None:
    connection = await Connection.open(port)
    request = connection.request("GET" if body is None else "POST", path, body)
    try:
        while (now := time.perf_counter()) < ends:
            status, _ = await connection.send(request)
            if status // 100 != 2:
                raise RuntimeError(f"{path}: {status}")
            took.append(time.perf_counter() - now)
    finally:
        connection.close()


class Connection:
    """A raw keep-alive connection: httpx would cost more than the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @staticmethod
    def request(method: str, path: str, body: str | None = None, headers: str = "") -> bytes:
        data = (body or "").encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n{headers}"
        if body is not None:
            head += "Content-Type: application/json\r\n"
        return head.encode() + b"\r\n" + data

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        self._writer.close()
