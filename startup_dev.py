"""What `startup.sh --dev` runs: the server, started again whenever a .py file changes.

Hypercorn's own reload needs its worker processes, and a killed master leaves such a worker behind with the port and
the database. Here the server is the one child of this process, is asked to stop as by any SIGTERM, and is waited for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
INTERVAL = 0.5  # seconds between two looks at the files
SKIPPED = {".venv", ".git", "instance", "__pycache__", "tests", "benchmarks"}

stopping = threading.Event()


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    code = 0
    while not stopping.is_set():
        seen = _snapshot()
        # A session of its own: Ctrl-C reaches this process alone, so that the server hears of it once, not twice.
        server = subprocess.Popen(
            [sys.executable, "-m", "quart_app"],
            start_new_session=True,
            preexec_fn=_die_with_me,  # noqa: PLW1509 - there are no threads here
        )
        while server.poll() is None and _snapshot() == seen and not stopping.is_set():
            stopping.wait(INTERVAL)
        if server.poll() is None:
            _say("stopping the server" if stopping.is_set() else "a file has changed, starting again")
            server.terminate()
            code = server.wait()
            continue
        code = server.returncode
        _say(f"the server ended with code {code}; waiting for a change")
        while _snapshot() == seen and not stopping.is_set():
            stopping.wait(INTERVAL)
    return code


def _die_with_me() -> None:
    """Linux: a kill -9 of this process is one of the server, or it would keep the port and the database."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop(_number: int, _frame: FrameType | None) -> None:
    stopping.set()


def _say(text: str) -> None:
    sys.stderr.write(f"startup.sh: {text}\n")


def _snapshot() -> dict[str, int]:
    """When each source file was changed."""
    found = {}
    for path in _sources():
        try:
            found[str(path)] = path.stat().st_mtime_ns
        except OSError:
            pass  # an editor is just replacing it
    return found


def _sources() -> Iterator[Path]:
    for folder, folders, files in os.walk(Path.cwd()):
        folders[:] = [name for name in folders if name not in SKIPPED]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))
    for name in os.environ.get("QUART_APP_TASKS", "").split(","):
        if name.strip().endswith(".py"):
            yield Path(name.strip())


if __name__ == "__main__":
    sys.exit(main())
