"""A real server process, and what can be seen of it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.ports import free_port
from tests.hostile.wire import Reply, Wire, request

ROOT: Final = Path(__file__).parents[2]
DEADLINE: Final = 30.0


class Server:
    def __init__(self, folder: Path, console: int | None = None, kind: str = "hypercorn", **settings: str) -> None:
        """`console`: a descriptor for its stderr, in place of the file `stderr`. `kind`: what serves HTTP."""
        self.kind = kind
        self.folder = folder
        self.log = folder / "async_tasks.log"
        self.stderr = folder / "stderr.txt"
        self.port = free_port()
        self.tasks: tuple[str, str] | None = None
        self.resident_at_first = 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUART_APP_")}
        environment |= {"PYTHONPATH": str(ROOT), "QUART_APP_DATA_DIR": str(folder), "QUART_APP_SCHEDULES": "0"}
        environment["QUART_APP_CAT_FACTS_URL"] = "http://127.0.0.1:9/"  # nobody is there
        environment |= {f"QUART_APP_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "quart_app", "--server", kind, "--bind", f"127.0.0.1:{self.port}"]
        config = ["--config", str(ROOT / "hypercorn.toml")]
        with self.stderr.open("wb") as stderr:
            # Another folder than the checkout's, so that no .env of a developer takes part.
            self.process = subprocess.Popen(
                [*command, *config], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=console or stderr
            )
        self._wait_until_it_is_ready()

    def stop(self) -> int:
        """End it as an operator would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()

    def ask(self, raw: bytes) -> Reply:
        """One request on a connection of its own."""
        with Wire(self.port) as wire:
            return wire.ask(raw)

    def status(self) -> Any:
        reply = self.ask(request("GET", "/status"))
        assert reply.status == 200, reply
        return reply.json

    def resident_bytes(self) -> int:
        """What the process holds in memory; 0 where the system does not say."""
        statm = Path(f"/proc/{self.process.pid}/statm")
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0

    def written(self) -> bytes:
        """All it has written: console and log file."""
        return self.stderr.read_bytes() + self.log.read_bytes()

    def _wait_until_it_is_ready(self) -> None:
        ends = time.monotonic() + DEADLINE
        while time.monotonic() < ends:
            assert self.process.poll() is None, self.stderr.read_text()
            try:
                if self.ask(request("GET", "/ready")).status == 200:
                    return
            except ConnectionRefusedError:
                time.sleep(0.02)
        self.process.kill()
        raise AssertionError("the server did not become ready: " + self.stderr.read_text())
