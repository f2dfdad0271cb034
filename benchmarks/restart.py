"""A start after a kill: until the server answers, and until the first interrupted task runs again."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.bigdata import build
from benchmarks.harness import Figure, Scale, median, serve

ROWS = 100_000
INTERRUPTED = 5_000  # were `processing` at the kill
STARTS = 10
TARGET = 2.0  # seconds
DEADLINE = 60.0

_INTERRUPT = """
UPDATE tasks SET status = 'processing', cause = 'claim', ready = 0, worker = 'killed', attempt = 1, fence = 1,
  started_at = changed_at, kind = 'stamp', args = json_object('path', :path)
WHERE seq IN (SELECT seq FROM tasks WHERE status = 'pending' AND ready = 1 ORDER BY seq LIMIT :count)
"""


def run(scale: Scale) -> list[Figure]:
    rows = build(scale.folder / "rows", scale.of(ROWS))
    stamps = scale.folder / "stamps"
    with closing(sqlite3.connect(rows.folder / "tasks.db")) as database, database:
        database.execute(_INTERRUPT, {"path": str(stamps), "count": scale.of(INTERRUPTED)})
    listening, running = [], []
    for number in range(2 if scale.smoke else STARTS):
        answered, resumed = _start(scale.folder, Path(shutil.copytree(rows.folder, scale.folder / str(number))), stamps)
        listening.append(answered)
        running.append(resumed)
    note = f"the slowest of {len(listening)} starts; median {median(listening):.2f} s"
    again = f"{scale.of(INTERRUPTED):,} were interrupted; median {median(running):.2f} s"
    return [
        Figure(f"a start with {rows.count:,} rows, until /health answers", max(listening), "s", TARGET, False, note),
        Figure("the same, until the first interrupted task runs", max(running), "s", TARGET, False, again),
    ]


def _start(folder: Path, data: Path, stamps: Path) -> tuple[float, float]:
    """Seconds from the start of the process to its first answer, and to the first run of an interrupted task."""
    stamps.unlink(missing_ok=True)
    began = time.monotonic()
    with serve(folder, {"QUART_APP_DATA_DIR": str(data)}) as server:
        server.call("GET", "/health")
        answered = time.monotonic() - began
        _wait(stamps.exists)
    return answered, float(stamps.read_text().split()[0]) - began


def _wait(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > ends:
            raise RuntimeError("no interrupted task runs again")
        time.sleep(0.005)
