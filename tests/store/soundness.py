"""What must hold of the tables at any moment, checked past the store with plain SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from quart_app.core.lifecycle import CRASH, TRANSITIONS
from quart_app.core.task import TERMINAL

Query = Callable[..., list[tuple[Any, ...]]]

CHILDREN = ("args", "results", "progress", "steps", "errors", "tags", "events", "crash_groups", "signals")


def allowed() -> set[tuple[str, str, str]]:
    """(status, cause, status) of every legal transition, as lifecycle.py has it."""
    table = {(start, cause, end) for cause, (starts, end) in TRANSITIONS.items() for start in starts}
    return table | {(start, "crash", end) for start in CRASH[0] for end in CRASH[1]}


def assert_sound(sql: Query) -> None:
    assert_counters_equal_a_real_count(sql)
    assert_history_is_a_walk_through_the_table(sql)
    assert_nothing_outlives_its_task(sql)
    assert_times_and_flags_fit_the_status(sql)
    assert_families_are_counted(sql)
    assert_failures_are_grouped(sql)


def assert_failures_are_grouped(sql: Query) -> None:
    """Each failed task stands once under the fingerprint of its last error, and the groups are counted."""
    real = sql(
        "SELECT t.seq, (SELECT e.fingerprint FROM errors e WHERE e.task = t.seq ORDER BY e.fence DESC LIMIT 1) AS last,"
        " t.owner, t.completed_at FROM tasks t WHERE t.status = 'failed' AND last IS NOT NULL"
    )
    assert sorted(sql("SELECT task, fingerprint, owner, at FROM failures")) == sorted(real)
    groups: dict[tuple[str, str], list[int]] = {}
    for _, fingerprint, owner, at in real:
        for whose in ("*", *([f"={owner}"] if owner else [])):
            groups.setdefault((whose, fingerprint), []).append(at)
    kept = sql("SELECT whose, fingerprint, n, last_at FROM error_groups")
    assert sorted(kept) == sorted((*key, len(times), max(times)) for key, times in groups.items())


def assert_families_are_counted(sql: Query) -> None:
    real = sql(
        "SELECT c.parent, count(*), count(k.completed_at), sum(k.status = 'failed'), sum(c.awaited) FROM children c"
        " JOIN tasks k ON k.seq = c.task WHERE c.parent NOT IN (SELECT task FROM deleted_tasks) GROUP BY c.parent"
    )
    kept = sql(
        "SELECT parent, total, ended, failed, waits FROM families WHERE total > 0"
        " AND parent NOT IN (SELECT task FROM deleted_tasks)"
    )
    assert sorted(kept) == sorted(real)
    lost = sql(
        "SELECT t.id FROM tasks t LEFT JOIN families f ON f.parent = t.seq"
        " WHERE t.waiting_for = 'children' AND coalesce(f.waits, 0) = 0"
        " UNION ALL SELECT t.id FROM tasks t JOIN signals s ON s.task = t.seq AND s.step IS NULL"
        " WHERE t.waiting_for = 'signal:' || s.name"
    )
    assert lost == [], "a lost wake-up"


def assert_counters_equal_a_real_count(sql: Query) -> None:
    real = sql("SELECT queue, kind, status, ready, count(*) FROM tasks GROUP BY queue, kind, status, ready")
    kept = sql("SELECT queue, kind, status, ready, n FROM counters WHERE n > 0")
    assert sorted(kept) == sorted(real)


def assert_history_is_a_walk_through_the_table(sql: Query) -> None:
    """One status event for each transition, in order, ending where the row is; one end at most in each life."""
    rows = {
        seq: (status, cause, version)
        for seq, status, cause, version in sql("SELECT seq, status, cause, version FROM tasks")
    }
    legal = allowed()
    walks: dict[int, list[tuple[str, str]]] = {}
    for task, status, cause in sql(
        "SELECT task, status, cause FROM events WHERE name = 'status' AND task NOT IN (SELECT task FROM deleted_tasks)"
        " ORDER BY seq"
    ):
        walks.setdefault(task, []).append((status, cause))
    assert walks.keys() == rows.keys()
    for task, walk in walks.items():
        assert walk[0] == ("pending", "enqueue")
        for (before, _), (after, cause) in pairwise(walk):
            assert (before, cause, after) in legal, f"{before} --{cause}--> {after}"
        status, cause, version = rows[task]
        assert walk[-1] == (status, cause), "the last event and the row disagree"
        assert len(walk) == version, "a transition without its event, or an event without its transition"
        ends = Counter(cause == "rerun" for _, cause in walk)[True] + (status in TERMINAL)
        assert sum(one in TERMINAL for one, _ in walk) == ends, "two ends in one life"


def assert_nothing_outlives_its_task(sql: Query) -> None:
    """But what upkeep is told to delete."""
    assert sql("SELECT task FROM deleted_tasks WHERE task IN (SELECT seq FROM tasks)") == []
    for table in CHILDREN:
        left = sql(
            f"SELECT count(*) FROM {table} WHERE task NOT IN (SELECT seq FROM tasks)"
            " AND task NOT IN (SELECT task FROM deleted_tasks)"
        )
        assert left == [(0,)], f"rows of {table} without their task"


def assert_times_and_flags_fit_the_status(sql: Query) -> None:
    wrong = sql(
        "SELECT id, status FROM tasks WHERE (worker IS NULL) = (status = 'processing')"
        " OR (completed_at IS NULL) = (status IN ('completed', 'failed', 'cancelled'))"
        " OR (ready = 1 AND status <> 'pending') OR (ready = 1 AND waiting_for IS NOT NULL)"
        " OR (waiting_for IS NOT NULL AND status <> 'pending')"
        " OR completed_at < created_at OR completed_at < started_at OR started_at < created_at"
        " OR attempt < 0 OR attempt > fence OR crashes < 0"
        " OR (status = 'processing' AND fence < 1) OR (status = 'processing' AND attempt < 1)"
    )
    assert wrong == []
    assert sql("SELECT task FROM steps GROUP BY task, name HAVING count(*) > 1") == []


def everything(sql: Query) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, to show that a call changed nothing."""
    tables = ("tasks", *CHILDREN, "idempotency_keys", "children", "families", "ended_parents")
    return {table: sorted(sql(f"SELECT * FROM {table}"), key=repr) for table in tables}
