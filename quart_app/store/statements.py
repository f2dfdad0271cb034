"""Loads the named statements of one dialect.

A statement that takes `:rows` is set-oriented: `:rows` is a JSON array of objects, one for each task, and the first
column it returns is the id of each task on which it landed. Documents (args, results, outputs) are JSON text inside the
JSON: `->>` would cut a raw text at a NUL and turn integers above 2^63 into floats. In SQLite `+tasks.status` makes
the planner use the unique index of the id, and INDEXED BY the partial index that was made for the statement: without
statistics it prefers the index on status.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from typing import Final

import msgspec

# The statements of one turn of the writer run in the order of these files, and in their order within a file. The end
# of an attempt comes before the claim of the next one.
FILES: Final = (
    *(
        "enqueue",
        "unique",
        "attempt",
        "children",
        "signals",
        "crash",
        "by_hand",
        "going_back",
        "due",
        "lanes",
        "claim",
        "retention",
        "recovery",
    ),
    *("queues", "read", "errors", "bulk", "explain"),
    *("claim_limits", "clock", "feed", "keys", "limits", "reports", "schedules", "statistics", "uploads", "users"),
)
AUDIT: Final = ("audit", "audit_lanes", "audit_statistics")  # of `audit` alone
_NAME: Final = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*$\n?", re.MULTILINE)
_INCLUDE: Final = re.compile(
    r"\{(task_columns|task_joins|held_by|when_queue_closed|schedule_columns|forgotten_steps|wakes)\}"
)


class Statement(msgspec.Struct, frozen=True):
    """`order` is the place in the files; `rows`: it is set-oriented (takes `:rows`)."""

    name: str
    text: str
    order: int
    rows: bool


def load(dialect: str, files: Sequence[str] = FILES) -> dict[str, Statement]:
    """The statements of `<dialect>/<file>.sql` by name, in order."""
    room = resources.files("quart_app.store").joinpath(dialect)
    texts: dict[str, str] = {}
    for file in files:
        pieces = _NAME.split(room.joinpath(f"{file}.sql").read_text("utf-8"))[1:]
        for name, body in zip(pieces[::2], pieces[1::2], strict=True):
            if name in texts:
                raise ValueError(f"{file}.sql: a statement of the name {name} stands already")
            texts[name] = _COMMENT.sub("", body).strip().removesuffix(";")

    def whole(text: str) -> str:
        return _INCLUDE.sub(lambda found: whole(texts[found[1]]), text)

    return {
        name: Statement(name, whole(text), order, ":rows" in text) for order, (name, text) in enumerate(texts.items())
    }
