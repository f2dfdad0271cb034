"""Kills and stops at random instants, under load that never gives up; then the books are compared."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from quart_app.store.audit import audit
from tests.acceptance.client import STEPS, Client
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, lines_of, until

pytestmark = pytest.mark.once


KILLS = 20
STOPS = 6
CLIENTS = 6


def test_twenty_kills_under_load_lose_nothing_and_run_no_recorded_step_again(
    make_server: MakeServer, journal: Path
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    server = make_server(concurrency=16)
    clients = [Client(number, server, journal) for number in range(CLIENTS)]
    books: list[tuple[int, set[tuple[str, str]]]] = []  # at each kill: lines of the journal, recorded steps
    for kill in range(KILLS):
        server.start()
        if kill == 0 or chance.random() < 0.8:
            server.wait_ready()
        if kill == 0:
            for client in clients:
                client.start()
        for client in clients:
            client.up.set()
        # Not a wait for something: the instant of the kill is the point.
        threading.Event().wait(chance.uniform(0, 0.7))
        for client in clients:
            client.up.clear()
        server.kill9()
        assert findings(server) == []
        books.append((len(lines_of(journal)), _recorded(server)))

    rows = _finish(server.start(), clients)
    assert set(rows.values()) == {("completed", 1)}
    lines = lines_of(journal)
    assert {task_id for task_id, _, _ in lines} == set(rows)
    for seen, recorded in books:
        again = {(task_id, f"s{number}") for task_id, _, number in lines[seen:]} & recorded
        assert again == set()
    # A step is run once, and once more for each kill that may have hit it.
    assert len(lines) <= STEPS * len(rows) + KILLS * 16
    assert findings(server) == []


def test_stops_under_load_lose_nothing_charge_nothing_and_run_nothing_twice(
    make_server: MakeServer, journal: Path
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = make_server(concurrency=16, drain_seconds=8)
    clients = [Client(number, server, journal) for number in range(CLIENTS)]
    for stop in range(STOPS):
        server.start().wait_ready()
        for client in clients:
            if stop == 0:
                client.start()
            client.up.set()
        threading.Event().wait(chance.uniform(0, 0.5))
        assert server.sigterm(15) == 0
        for client in clients:
            client.up.clear()
        left = server.rows("SELECT status, cause, crashes FROM tasks WHERE status = 'processing' OR crashes > 0")
        assert left == []

    rows = _finish(server.start(), clients)
    assert set(rows.values()) == {("completed", 1)}
    assert len(lines_of(journal)) == STEPS * len(rows)
    assert server.rows("SELECT count(*) FROM events WHERE cause = 'crash'") == [(0,)]
    assert "Traceback" not in server.log
    assert findings(server) == []


def findings(server: Server) -> list[str]:
    """What `audit` finds in the database as it lies there."""
    return audit(server.database).findings if server.database.exists() else []


def _finish(server: Server, clients: list[Client]) -> dict[str, tuple[str, int]]:
    """Let the clients come to their end and the tasks to theirs; (status, attempt) of every row by its id, after it
    was compared with what the clients were told."""
    server.wait_ready()
    for client in clients:
        client.done.set()
        client.up.set()
    for client in clients:
        client.join(30)
    assert [problem for client in clients for problem in client.problems] == []
    unfinished = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')"
    until(lambda: server.rows(unfinished) == [(0,)], "the end of every task", deadline=60)
    acknowledged = {task_id for client in clients for task_id in client.acknowledged.values()}
    asked = sum(len(client.acknowledged) for client in clients)
    assert len(acknowledged) == asked >= CLIENTS
    rows = {row[0]: (row[1], row[2]) for row in server.rows("SELECT id, status, attempt FROM tasks")}
    # A client that was never answered may have made one task more, under the key it was asking with.
    assert acknowledged <= set(rows)
    assert len(rows) - len(acknowledged) <= CLIENTS
    ends = "SELECT count(*) FROM events WHERE name = 'status' AND status IN ('completed', 'failed', 'cancelled')"
    assert server.rows(f"{ends} GROUP BY task HAVING count(*) <> 1") == []
    assert server.rows(ends) == [(len(rows),)]
    return rows


def _recorded(server: Server) -> set[tuple[str, str]]:
    if not server.database.exists():
        return set()
    return set(server.rows("SELECT t.id, s.name FROM steps s JOIN tasks t ON t.seq = s.task"))
