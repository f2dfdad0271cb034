"""What the parts share: figures with their targets, interleaved runs, servers as subprocesses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0


@dataclass(frozen=True)
class Figure:
    """One line of the table. `value` and `target` compare as numbers; `higher` says which way is good."""

    what: str
    value: float
    unit: str = ""
    target: float | None = None
    higher: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.higher else self.value <= self.target


@dataclass(frozen=True)
class Scale:
    """Where to work and how much to do."""

    folder: Path
    smoke: bool

    def of(self, count: int, least: int = 1) -> int:
        """`count`, or a fiftieth of it for a smoke run."""
        return max(count // 50, least) if self.smoke else count

    @property
    def rounds(self) -> int:
        return 1 if self.smoke else 7

    @property
    def seconds(self) -> float:
        """How long one load lasts."""
        return 0.4 if self.smoke else 4.0


def table(figures: Iterable[Figure]) -> str:
    lines = ["| figure | measured | target | met | |", "|---|---|---|---|---|"]
    for one in figures:
        target = "" if one.target is None else f"{'≥' if one.higher else '≤'} {_text(one.target)} {one.unit}".strip()
        met = {None: "", True: "yes", False: "**no**"}[one.met]
        lines.append(f"| {one.what} | {_text(one.value)} {one.unit}".rstrip() + f" | {target} | {met} | {one.note} |")
    return "\n".join(lines)


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def interleaved(rounds: int, runs: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Run A B C A B C …, so that what the machine does meanwhile falls on all of them."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(1, rounds + 1):
        for name, run in runs.items():
            found[name].append(run())
            print(f"  round {number} of {rounds}, {name}: {_text(found[name][-1])}", file=sys.stderr, flush=True)
    return found


def ratio(upper: list[float], lower: list[float]) -> float:
    """The median of the ratios of each round: runs of one round met the same machine."""
    return statistics.median(a / b for a, b in zip(upper, lower, strict=True))


def median(values: list[float]) -> float:
    return statistics.median(values)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def child(module: str, *arguments: object) -> float:
    """Run `python -m benchmarks.<module>` to its end; it prints one number."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=600,
        check=True,
    )
    return float(done.stdout)


class Process(AbstractContextManager["Process"]):
    """A server in a process of its own, listening on a free port with the Hypercorn configuration of the project."""

    def __init__(
        self,
        folder: Path,
        name: str,
        command: list[str],
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self._log = folder / f"{name}-{self.port}.log"
        config = folder / f"hypercorn-{self.port}.toml"
        config.write_text((ROOT / "hypercorn.toml").read_text("utf-8").replace("8000", str(self.port)), "utf-8")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("QUART_APP_")}
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *command, "--config", str(config)],
                cwd=ROOT,
                env={**inherited, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.pid = self._process.pid
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """kill -9; gone when this returns."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"the server did not start:\n{self._log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """One request on a connection of its own; the decoded answer. Raises RuntimeError unless 2xx."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            if response.status // 100 != 2:
                raise RuntimeError(f"{method} {path}: {response.status} {text[:500]!r}")
            return json.loads(text)
        finally:
            connection.close()

    def completed(self) -> int:
        return int(self.call("GET", "/status")["tasks"]["completed"])

    def wait_completed(self, count: int, seconds: float) -> None:
        self._wait_for(lambda: self.completed() >= count, f"{count} tasks completed", seconds)

    def wait_idle(self, seconds: float) -> None:
        """Until nothing waits or runs, so that one load does not pay for another."""

        def idle() -> bool:
            tasks = self.call("GET", "/status")["tasks"]
            return not tasks["pending"] and not tasks["processing"]

        self._wait_for(idle, "idle", seconds)

    def _wait_for(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                raise RuntimeError(f"not {what} after {seconds} s")
            time.sleep(0.005)


def serve(
    folder: Path, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = (), kind: str = "hypercorn"
) -> Process:
    """The real server, with the benchmarks' kinds and a fresh database."""
    port = free_port()  # only for a name
    settings = {
        "QUART_APP_DATA_DIR": str(folder / f"data-{port}"),
        "QUART_APP_TASKS": "benchmarks.kinds",
        "QUART_APP_QUEUE_LIMIT": "10000000",
        "QUART_APP_LOG_LEVEL": "WARNING",
    }
    return Process(folder, "quart_app", ["quart_app", "--server", kind], {**settings, **(environment or {})}, prefix)


def serve_plain(folder: Path, environment: Mapping[str, str] | None = None, kind: str = "hypercorn") -> Process:
    """A plain Quart app on the stock Hypercorn, same configuration; or on uvicorn."""
    commands = {"hypercorn": ["hypercorn", "benchmarks.plain:app"], "uvicorn": ["benchmarks.plain_uvicorn"]}
    return Process(folder, "plain", commands[kind], environment)
