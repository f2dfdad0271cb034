"""Counts everything of lanes again, from the tasks themselves."""

from __future__ import annotations

from tests.store.lane_kit import LaneStore

CLAIMABLE = "t.status = 'pending' AND t.ready = 1 AND t.crashes < 2"

SUMS = {
    "tasks to be put into lanes": "SELECT id FROM tasks WHERE lane = 0 AND completed_at IS NULL",
    "tasks of lanes that do not exist": (
        "SELECT id FROM tasks WHERE lane > 0 AND completed_at IS NULL AND lane NOT IN (SELECT lane FROM lanes)"
    ),
    "lanes": (
        f"SELECT l.lane, l.ready, l.live, count(t.seq) FILTER (WHERE {CLAIMABLE}) r, count(t.seq) n FROM lanes l"
        " LEFT JOIN tasks t ON t.lane = l.lane AND t.completed_at IS NULL GROUP BY l.lane"
        " HAVING l.ready <> r OR l.live <> n"
    ),
    "gates": (
        "SELECT g.gate, g.running, count(t.seq) n FROM gates g LEFT JOIN lane_gates lg ON lg.gate = g.gate"
        " LEFT JOIN tasks t ON t.lane = lg.lane AND t.status = 'processing' GROUP BY g.gate HAVING g.running <> n"
    ),
    "shares": (
        "SELECT s.share, s.running, count(t.seq) n FROM shares s LEFT JOIN lanes l ON l.share = s.share"
        " LEFT JOIN tasks t ON t.lane = l.lane AND t.status = 'processing' GROUP BY s.share HAVING s.running <> n"
    ),
    "open lanes": (
        "SELECT s.share, s.open, count(l.lane) n FROM shares s LEFT JOIN lanes l ON l.share = s.share"
        " AND l.ready > 0 AND l.parked IS NULL GROUP BY s.share HAVING s.open <> n"
    ),
    "lanes in another queue than their task": (
        "SELECT t.id FROM tasks t JOIN lanes l ON l.lane = t.lane WHERE t.completed_at IS NULL AND t.queue <> l.queue"
    ),
}


def assert_sums(store: LaneStore) -> None:
    for what, text in SUMS.items():
        assert not (wrong := store.sql(text)), f"{what}: {wrong}"
