"""The listing: its statement is put together from named parts, so that each filter can use its index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart_app.core.task import DEFAULT_QUEUE, TaskFilter

# The partial indexes leave these values out; a statement that names them must not ask for the index.
_COMMON: Final = {("queue", DEFAULT_QUEUE): "default_queue", ("owner", ""): "no_owner"}


STEP_MS: Final = 3 * 3_600_000  # steps of the wall clock up to this size hide no task from a listing by time


def listing(wanted: TaskFilter, text: Callable[[str], str]) -> tuple[str, dict[str, object]]:
    """The statement and its parameters; `text` gives a named part."""
    params: dict[str, object] = {"limit": wanted.limit}
    conditions = []
    for name in ("owner", "status", "kind", "queue", "created_after", "created_before", "before_seq"):
        if (value := getattr(wanted, name)) is not None:
            params[name] = value
            conditions.append(text(f"when_{_COMMON.get((name, value), name)}"))
    if wanted.tag is not None:
        params["tag"] = wanted.tag
        if wanted.before_seq is not None:
            conditions.append(text("when_tagged_before_seq"))
    if wanted.created_after is not None:
        params["created_after_id"] = _lowest_id(wanted.created_after - STEP_MS)
    if wanted.created_before is not None:
        params["created_before_id"] = _lowest_id(wanted.created_before + STEP_MS)
    parts = {
        "source": text("source_tasks" if wanted.tag is None else "source_tagged"),
        "order": "t.seq" if wanted.tag is None else "g.task",
        "conditions": " AND ".join(conditions) or "true",
    }
    statement = text("find_documents" if wanted.documents else "find")
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement, params


def _lowest_id(at: int) -> str:
    """What every uuid7 of a millisecond begins with or lies above (RFC 9562, 5.7: the first 48 bits are the time)."""
    digits = f"{max(at, 0):012x}"
    return f"{digits[:8]}-{digits[8:12]}"
