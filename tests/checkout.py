"""A copy of the checkout in a temporary folder, set up as startup.sh leaves it: tests type what a person types."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 30.0  # seconds


class Checkout:
    """The interpreter of this test run stands in `.venv`, so that nothing has to be installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        for name in ("quart_app", "migrations"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("startup.sh", "startup_dev.py", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / name, folder)
        config = (ROOT / "hypercorn.toml").read_text()
        assert "127.0.0.1:8000" in config
        (folder / "hypercorn.toml").write_text(config.replace("8000", str(self.port)))
        tools = folder / ".venv" / "bin"
        tools.mkdir(parents=True)
        _script(tools / "python", f'exec "{sys.executable}" "$@"')
        for tool in ("hypercorn", "uvicorn"):
            _script(tools / tool, f'exec "{sys.executable}" -m {tool} "$@"')
        self.mark_installed("requirements.txt")

    @property
    def environment(self) -> dict[str, str]:
        """That of this test run, without what would change what startup.sh or the server does."""
        return {key: value for key, value in os.environ.items() if not key.startswith(("QUART_APP_", "PYTHON"))}

    def mark_installed(self, requirements: str) -> None:
        """What startup.sh writes after it has installed a file."""
        stamp = f'$(cksum requirements*.txt && .venv/bin/python --version)" > .venv/.installed-{requirements}'
        subprocess.run(["sh", "-c", f'echo "{stamp}'], cwd=self.folder, check=True)

    def shell(self, command: str) -> str:
        """Run a command to its end and return what it wrote to stdout."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, timeout=DEADLINE * 3
        )
        return done.stdout.decode().replace("\r\n", "\n")

    def start(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a server in the background and wait until it listens."""
        with log.open("ab") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self._wait_until_it_listens(server, log)
        except BaseException:
            server.kill()
            server.wait()
            raise
        return server

    def _wait_until_it_listens(self, server: subprocess.Popen[bytes], log: Path) -> None:
        ends = time.monotonic() + DEADLINE
        while True:
            assert server.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < ends, log.read_text()
                time.sleep(0.05)


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
