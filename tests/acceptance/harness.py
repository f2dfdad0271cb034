"""Real server processes: start them under any of the three servers, kill them, stop them, start them again.

A Server is one data folder and one port through several lives. It only ever signals processes that it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pytest

from benchmarks.ports import free_port

Command = Literal["serve", "serve-uvicorn", "hypercorn", "uvicorn"]
T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = Path(__file__).with_name("hostile.py")
NOBODY = "http://127.0.0.1:9/"  # no test asks a server of the world for anything
DEADLINE = 30.0  # seconds; generous, so that one slow core fails no test


def until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """The first true value of `condition`; fails the test, saying `what` was waited for, when the deadline passes."""
    ends = time.monotonic() + deadline
    while True:
        if value := condition():
            return value
        if time.monotonic() > ends:
            raise AssertionError(f"waited {deadline:g} s in vain for {what}")
        time.sleep(0.01)


def need(command: Command) -> None:
    """Skip the test, loudly, when this server is not installed."""
    for name in {"uvicorn": ["uvicorn"], "serve-uvicorn": ["uvicorn", "httptools"]}.get(command, []):
        pytest.importorskip(name, reason=f"{name.upper()} IS NOT INSTALLED: requirements-dev.txt has it")


def alive(pid: int) -> bool:
    """Whether the process runs; one that has died and was not yet collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(pid: int) -> set[int]:
    """The processes that this one has started, theirs too."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def lines_of(path: Path) -> list[list[str]]:
    """The words of each whole line of a task's journal."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def sockets_of(server: Server) -> set[str]:
    """The sockets it has open; no two that live at one time have the same name."""
    found = set()
    for path in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(path.readlink()))
    return {name for name in found if name.startswith("socket:")}


def plain_client(url: str) -> httpx.Client:
    """A client without TLS: to read the authorities of this machine would take it 20 ms."""
    return httpx.Client(base_url=url, timeout=DEADLINE, trust_env=False, verify=False)


class Server:
    def __init__(self, folder: Path, **settings: object) -> None:
        """`settings` by their names in lower case: `max_crashes=4`."""
        self.folder = folder
        self.data = folder / "data"
        self.database = self.data / "tasks.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = plain_client(self.url)
        self.process: subprocess.Popen[bytes] | None = None
        self.lives = 0
        self.prefix: list[str] = []  # a command that runs the interpreter
        given = {
            "drain_seconds": 1,
            "tasks": HOSTILE,
            "data_dir": self.data,
            "simulated_error_rate": 0,
            "schedules": 0,  # they fire by the clock on the wall: tests count tasks
            "cat_facts_url": NOBODY,
            **settings,
        }
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("QUART_APP_")}
        self.environment |= {f"QUART_APP_{name.upper()}": str(value) for name, value in given.items()}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.environment["NO_PROXY"] = "*"

    # --- life and death

    def start(self, command: Command = "serve", *more: str, prefix: tuple[str, ...] = ("-m",)) -> Server:
        """Start a process; it need not become ready. `prefix`: what Python is told before the name of the module."""
        need(command)
        address, config = f"127.0.0.1:{self.port}", str(ROOT / "hypercorn.toml")
        arguments = {
            "serve": ["quart_app", "serve", "--bind", address, "--config", config],
            "serve-uvicorn": ["quart_app", "serve", "--server", "uvicorn", "--bind", address, "--config", config],
            "hypercorn": ["hypercorn", "-c", config, "-b", address, *more, "quart_app.asgi:app"],
            "uvicorn": ["uvicorn", "--host", "127.0.0.1", "--port", str(self.port), *more, "quart_app.asgi:app"],
        }[command]
        return self.run(*prefix, *arguments)

    def run(self, *arguments: str) -> Server:
        """Start `python ARGUMENTS` with this server's settings."""
        assert self.process is None or self.process.poll() is not None, "the last life goes on"
        self.lives += 1
        with self._output("out").open("wb") as out, self._output("err").open("wb") as err:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def command(self, *arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m quart_app ARGUMENTS` with this server's settings to its end; `environ` replaces some."""
        return subprocess.run(
            [sys.executable, "-m", "quart_app", *arguments],
            cwd=self.folder,
            env={**self.environment, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE * 2,
        )

    def wait_ready(self, deadline: float = DEADLINE) -> Server:
        until(self._is_ready, f"readiness; stderr says: {self.stderr}", deadline)
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.stderr}"
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/ready").status_code == 200
        return False

    def accepts(self) -> bool:
        """Whether the port is open; it may not be ready yet."""
        assert self.running, f"the server ended: {self.stderr}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill9(self) -> None:
        """The process is gone when this returns."""
        self.signal(signal.SIGKILL)
        assert self.wait_exit() == -signal.SIGKILL

    def sigterm(self, deadline: float = 10.0) -> int:
        """The exit code after a SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(deadline)

    def wait_exit(self, deadline: float = DEADLINE) -> int:
        assert self.process is not None
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline:g} s; stderr says: {self.stderr}") from None

    def close(self) -> None:
        """End whatever is left of this test."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # --- what it says

    def _output(self, name: str) -> Path:
        return self.folder / f"server-{self.port}-life-{self.lives}.{name}"

    @property
    def stderr(self) -> str:
        """Of this life."""
        return self._output("err").read_text("utf-8", "replace") if self.lives else ""

    @property
    def log(self) -> str:
        return (self.data / "async_tasks.log").read_text("utf-8")

    # --- tasks

    def post(self, kind: str, args: dict[str, Any] | None = None, **query: Any) -> str:
        """Make a task; its id."""
        answer = self.client.post(f"/tasks/{kind}", json=args or {}, params=query)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, task_id: str, deadline: float = DEADLINE) -> dict[str, Any]:
        """The task once it has ended."""

        def end() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.get(f"/tasks/{task_id}", params={"wait": "5"}).json()
            return found if found["status"] in ("completed", "failed", "cancelled") else None

        found = until(end, f"the end of {task_id}", deadline)
        assert found is not None
        return found

    def rows(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        """Read the database beside the server, or after its death; never writes a byte of it."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(query, params).fetchall()
        finally:
            connection.close()
