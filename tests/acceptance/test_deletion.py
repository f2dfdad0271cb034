"""Deleting a task that has heaped up much: gone at once, its rows in bites, and kill -9 in the middle harms nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from quart_app.store.audit import audit
from tests.acceptance.harness import Server, until

pytestmark = pytest.mark.once


EVENTS = 30_000


def _left(server: Server) -> int:
    ((events,),) = server.rows("SELECT count(*) FROM events WHERE task = 1")
    return int(events)


def test_a_kill_in_the_middle_of_a_deletion_leaves_a_sound_database_and_the_rest_goes(server: Server) -> None:
    server.start().wait_ready()
    task_id = server.post("quick", {"x": 1})
    kept = server.post("quick", {"x": 2})
    server.ended(task_id)
    server.ended(kept)
    with closing(sqlite3.connect(server.database, timeout=20)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO events (task, at, name, status, cause, attempt, data)"
            " SELECT 1, 1, 'log', 'processing', 'claim', 1, '{}' FROM n",
            (EVENTS,),
        )
    assert server.client.delete(f"/tasks/{task_id}").status_code == 204
    assert server.client.get(f"/tasks/{task_id}").status_code == 404
    for part in (0.9, 0.6):  # of what there was, at the kill
        until(lambda part=part: _left(server) < part * EVENTS, "a part of the events to go")  # type: ignore[misc]
        server.kill9()
        assert _left(server) > 0, "it went in one piece"
        assert audit(server.database).findings == []
        server.start().wait_ready()
        assert server.client.get(f"/tasks/{task_id}").status_code == 404
        assert server.task(kept)["result"] == 2
    until(lambda: server.rows("SELECT count(*) FROM deleted_tasks") == [(0,)], "the last of them to go")
    assert _left(server) == 0
    assert audit(server.database).findings == []
