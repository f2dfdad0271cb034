"""Builds the statement of the listing from named parts, so that each filter can use its index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart_app.core.task import DEFAULT_QUEUE, TaskFilter

# The partial indexes leave these values out; a statement for one of them must not use the condition of the index.
COMMON: Final = {("queue", DEFAULT_QUEUE): "default_queue", ("owner", ""): "no_owner"}
STEP_MS: Final = 3 * 3_600_000  # steps of the wall clock up to this size hide no task from a listing by time
PAUSED: Final = "paused"
LIMIT: Final = "limit:"
QUEUE_LIMIT: Final = "limit:queue:"


def listing(wanted: TaskFilter, text: Callable[[str], str]) -> tuple[str, dict[str, object]]:
    """The statement and its parameters; `text` returns a named part."""
    params: dict[str, object] = {"limit": wanted.limit}
    conditions = []
    names = ("owner", "status", "kind", "queue", "created_after", "created_before", "unique_key", "code_version")
    for name in (*names, "before_seq"):
        if (value := getattr(wanted, name)) is not None:
            params[name] = value
            conditions.append(text(f"when_{COMMON.get((name, value), name)}"))
    source, order = "source_tasks", "t.seq"
    if wanted.tag is not None:
        source, order, params["tag"] = "source_tagged", "g.task", wanted.tag
        if wanted.before_seq is not None:
            conditions.append(text("when_tagged_before_seq"))
    if wanted.error is not None:
        params["error"] = wanted.error
        if wanted.tag is not None or wanted.parent is not None:
            conditions.append(text("when_error"))
        else:
            source, order = "source_failed", "f.task"
            if wanted.before_seq is not None:
                conditions.append(text("when_failed_before_seq"))
    if wanted.parent is not None:
        params["parent"] = wanted.parent
        if wanted.tag is not None:
            conditions.append(text("when_parent"))
        else:
            source, order = "source_children", "c.task"
            if wanted.before_seq is not None:
                conditions.append(text("when_child_before_seq"))
    if wanted.created_after is not None:
        params["created_after_id"] = _lowest_id(wanted.created_after - STEP_MS)
    if wanted.created_before is not None:
        params["created_before_id"] = _lowest_id(wanted.created_before + STEP_MS)
    whence = text(source)
    if wanted.waiting_for is not None:
        whence, conditions = _waiting(wanted.waiting_for, source, conditions, text, params)
    parts = {"source": whence, "order": order, "conditions": " AND ".join(conditions) or "true"}
    statement = text("find_documents" if wanted.documents else "find")
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement, params


def _waiting(
    what: str, source: str, conditions: list[str], text: Callable[[str], str], params: dict[str, object]
) -> tuple[str, list[str]]:
    """The source and the conditions for tasks that wait for this. That limits and pauses hold a task back is written in
    no column: these are found by their lanes, and by tag or parent they are looked at one by one."""
    params["waiting_for"] = what
    if what != PAUSED and not what.startswith(LIMIT):
        return text(source), [*conditions, text("when_asleep" if what == "time" else "when_waiting_for")]
    if source != "source_tasks":
        return text(source), [*conditions, text("when_held")]
    of_queue = what.startswith(QUEUE_LIMIT)
    if what == PAUSED:
        held = "held_by_pause"
    else:
        held = "held_by_queue" if of_queue else "held_by_limit"
        params["held_name"] = what.removeprefix(QUEUE_LIMIT if of_queue else LIMIT)
    whence = text("source_held").replace("{held}", text(held))
    return whence.replace("{held_conditions}", " AND ".join(conditions) or "true"), []


def _lowest_id(at: int) -> str:
    """A text at or below every uuid7 of a millisecond (RFC 9562, 5.7: the first 48 bits are the time)."""
    digits = f"{max(at, 0):012x}"
    return f"{digits[:8]}-{digits[8:12]}"
