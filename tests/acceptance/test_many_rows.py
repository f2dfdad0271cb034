"""A database of 100,000 tasks: the server listens and goes on with what was interrupted, before it saw them all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import lines_of, until

pytestmark = pytest.mark.once


ROWS = 100_000
INTERRUPTED = 1000
SLOTS = 32


def multiply(database: Path, template: str, count: int, prefix: str, **changes: str) -> None:
    """Copy one row of `tasks` many times, whatever its columns are, with new ids; `changes` are SQL expressions."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(tasks)") if name not in ("seq", "id")]
        values = ", ".join(changes.get(name, f"o.{name}") for name in columns)
        connection.execute(
            f"""INSERT INTO tasks (id, {", ".join(columns)})
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
            SELECT printf(:prefix || '97f000-0000-7000-8000-%012x', n), {values} FROM numbers CROSS JOIN tasks o
            WHERE o.id = :template""",
            {"count": count, "template": template, "prefix": prefix},
        )
        # Long args live in a table of their own.
        connection.execute(
            """INSERT OR IGNORE INTO args SELECT t.seq, a.args FROM tasks o JOIN args a ON a.task = o.seq
            CROSS JOIN tasks t ON t.id LIKE :prefix || '97f000-%' WHERE o.id = :template""",
            {"template": template, "prefix": prefix},
        )
    finally:
        connection.close()


def test_a_server_of_100_000_tasks_starts_and_resumes_the_interrupted_first(
    make_server: MakeServer, journal: Path, flag: Path
) -> None:
    server = make_server(concurrency=SLOTS, queue_limit=2 * ROWS)
    server.start().wait_ready()
    interrupted = server.post("sleeper", {"path": str(journal), "flag": str(flag)}, priority=1)
    until(lambda: lines_of(journal), "the start of the task")
    ended = server.post("quick", {"x": "ended"})
    assert server.ended(ended)["status"] == "completed"
    waiting = server.post("quick", {"x": "waiting"}, delay=3600)
    server.kill9()
    multiply(server.database, interrupted, INTERRUPTED - 1, "01")
    multiply(server.database, ended, ROWS // 2, "02")
    multiply(server.database, waiting, ROWS // 2, "03", ready="1", run_at="o.created_at")
    assert server.rows("SELECT count(*) FROM tasks")[0][0] > ROWS
    assert server.rows("SELECT count(*) FROM tasks WHERE status = 'processing'") == [(INTERRUPTED,)]

    server.start().wait_ready(deadline=15)
    until(lambda: len(lines_of(journal)) > 1, "the first recovered task", deadline=15)
    until(lambda: len(lines_of(journal)) == 1 + SLOTS, "a recovered task in every slot", deadline=15)
    # What was interrupted goes first, although 50,000 others wait.
    kinds = server.rows("SELECT kind, count(*) FROM tasks WHERE status = 'processing' GROUP BY kind")
    assert kinds == [("sleeper", SLOTS)]
    health = server.client.get("/status").json()
    assert health["tasks"]["completed"] == ROWS // 2 + 1
    flag.touch()
    done = server.ended(interrupted)
    assert (done["status"], done["attempt"], done["crashes"]) == ("completed", 1, 0)
    new = server.post("quick", {"x": "new"}, priority=100)
    assert server.ended(new)["result"] == "new"
    assert server.sigterm() == 0


def test_a_kill_and_a_stop_during_the_recovery_are_survived(make_server: MakeServer, journal: Path, flag: Path) -> None:
    server = make_server(concurrency=SLOTS, queue_limit=2 * ROWS)
    server.start().wait_ready()
    interrupted = server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    server.kill9()
    multiply(server.database, interrupted, 5000, "01")
    flag.touch()
    server.start()
    until(lambda: len(lines_of(journal)) > 1, "the first recovered task")
    server.kill9()
    server.start()
    until(server.accepts, "an open port")
    assert server.sigterm() == 0
    server.start().wait_ready()
    unfinished = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')"
    until(lambda: server.rows(unfinished) == [(0,)], "the end of every task", deadline=60)
    ends = server.rows("SELECT status, attempt, count(*) FROM tasks GROUP BY status, attempt")
    assert ends == [("completed", 1, 5001)]
