"""The listing: its statement is put together from named parts, so that each filter can use its index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quart_app.core.task import DEFAULT_QUEUE, TaskFilter

# The partial indexes leave these values out; a statement that names them must not ask for the index.
_COMMON: Final = {("queue", DEFAULT_QUEUE): "default_queue", ("owner", ""): "no_owner"}


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
    parts = {
        "source": text("source_tasks" if wanted.tag is None else "source_tagged"),
        "order": "t.seq" if wanted.tag is None else "g.task",
        "conditions": " AND ".join(conditions) or "true",
    }
    statement = text("find_documents" if wanted.documents else "find")
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement, params
