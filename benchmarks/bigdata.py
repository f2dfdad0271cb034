"""Builds a database with many tasks by SQL, as if they had come over some days."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT

# Of each hundred: 20 ready, 10 for later, 60 completed, 5 failed, 5 cancelled. Ids as uuid7: they begin with the time.
_ROWS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count),
described AS (SELECT n, n % 100 AS share, :began + n * 100 AS at FROM numbers)
INSERT INTO tasks (id, kind, queue, owner, status, cause, ready, priority, run_at, attempt, max_attempts, fence,
  created_at, changed_at, started_at, completed_at, timeout_ms)
SELECT printf('%08x-%04x-7%03x-8000-%012x', (at >> 16) & 0xffffffff, at & 0xffff, n & 0xfff, n), 'noop', 'default', '',
  CASE WHEN share < 30 THEN 'pending' WHEN share < 90 THEN 'completed'
       WHEN share < 95 THEN 'failed' ELSE 'cancelled' END,
  CASE WHEN share < 30 THEN 'enqueue' WHEN share < 90 THEN 'complete' WHEN share < 95 THEN 'fail' ELSE 'cancel' END,
  share < 20, 0, CASE WHEN share BETWEEN 20 AND 29 THEN at + 864000000 ELSE at END, share >= 30, 1, share >= 30, at, at,
  CASE WHEN share >= 30 THEN at END, CASE WHEN share >= 30 THEN at END, 3600000
FROM described ORDER BY n
"""


@dataclass(frozen=True)
class Rows:
    folder: Path
    count: int
    ids: list[str]  # of a thousand tasks, spread over all


def build(folder: Path, count: int) -> Rows:
    folder.mkdir()
    environment = {**os.environ, "QUART_APP_DATA_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-m", "quart_app", "migrate"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    database = sqlite3.connect(folder / "tasks.db", isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000000")
        began = time.time_ns() // 1_000_000 - count * 100 - 1000
        database.execute(_ROWS, {"count": count, "began": began})
        database.execute("PRAGMA journal_mode = WAL")
        wanted = "SELECT id FROM tasks WHERE seq % :step = 0"
        return Rows(folder, count, [row[0] for row in database.execute(wanted, {"step": max(count // 1000, 1)})])
    finally:
        database.close()
