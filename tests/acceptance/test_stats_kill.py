"""Kills in the middle of updates of the statistics: no event is counted twice, none is left out."""

from __future__ import annotations

import pytest

from quart_app.store.audit import audit
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until

pytestmark = pytest.mark.once

TASKS = 12_000
KILLS = 6

# What happened up to the mark, as the events say; and what the figures say, in buckets of 5 minutes.
HAPPENED = """SELECT coalesce(sum(e.cause = 'claim'), 0), coalesce(sum(e.status = 'completed'), 0),
  coalesce(sum(e.status = 'failed'), 0), coalesce(sum(e.status = 'cancelled'), 0)
  FROM events e WHERE e.name = 'status' AND e.seq <= (SELECT seq FROM stats_mark)"""
COUNTED = """SELECT coalesce(sum(started), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0),
  coalesce(sum(cancelled), 0) FROM stats WHERE width = 300000 AND dimension = """


def mark(server: Server) -> int:
    return int(server.rows("SELECT seq FROM stats_mark")[0][0])


def assert_exact(server: Server) -> None:
    """In one snapshot: a server that lives goes on counting."""
    rows = server.rows(f"{HAPPENED} UNION ALL {COUNTED} 'kind' UNION ALL {COUNTED} 'queue'")
    assert len(rows) == 3
    assert len(set(rows)) == 1, rows


def test_kills_in_the_middle_of_updates_leave_the_figures_exact(make_server: MakeServer) -> None:
    server = make_server(concurrency=64).start().wait_ready()
    for n in range(0, TASKS, 1000):
        batch = [{"kind": "leaf", "args": {"n": n}, "queue": f"q{n // 1000 % 3}"}] * 1000
        answer = server.client.post("/tasks", json=batch)
        assert answer.status_code == 202, answer.text
    left = "SELECT count(*) FROM tasks WHERE status IN ('pending', 'processing')"
    until(lambda: server.rows(left) == [(0,)], "the end of every task", deadline=90)
    middles = 0
    for _ in range(KILLS):
        before = mark(server)
        for _ in range(2):  # two at once: one of them is overtaken
            server.post("stats-update")
        until(lambda before=before: mark(server) > before, "the next chunk")  # type: ignore[misc]
        server.kill9()
        last = server.rows("SELECT max(seq) FROM events")[0][0]
        middles += mark(server) < last - 1000
        assert_exact(server)
        assert audit(server.database).findings == []
        server.start().wait_ready()
    assert middles > 0, "no kill came before the end of an update"
    shown = server.ended(server.post("stats-update"))
    assert shown["status"] == "completed", shown
    assert_exact(server)
    buckets = server.client.get("/stats", params={"by": "queue"}).json()["buckets"]
    found = [one["figures"][f"q{n}"] for one in buckets for n in range(3) if f"q{n}" in one["figures"]]
    assert sum(one["started"] for one in found) == sum(one["completed"] for one in found) == TASKS
    assert server.sigterm() == 0
