"""The statements that tasks may read beyond their own row; SQL is in `<dialect>/reports.sql`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.store.sqlite.database import Database

# The statements that handlers may use, by name, with the columns of their rows. They may use no other.
PUBLIC: Final[dict[str, tuple[str, ...]]] = {
    "newest_task": ("seq",),
    "report_tasks": (
        "next", "task_id", "kind", "queue", "owner", "status", "priority", "attempt", "max_attempts", "crashes",
        "created_at", "started_at", "completed_at", "error_type", "error_message",
    ),
    "report_errors": (
        "next_task", "next_fence", "task_id", "kind", "status", "attempt", "at", "error_type", "error_message",
        "retryable",
    ),
    "report_users": ("id", "username", "email"),
}  # fmt: skip
_PARAMETER: Final = re.compile(r":([a-z_]+)")


class SqlReports:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def query(self, name: str, params: Mapping[str, object], owner: str | None) -> list[dict[str, Any]]:
        columns = PUBLIC.get(name)
        if columns is None:
            raise LookupError(f"there is no statement {name!r:.100} for tasks; there are: {', '.join(PUBLIC)}")
        text = self._db.text(name)
        wanted = set(_PARAMETER.findall(text)) - {"owner"}
        if wanted != params.keys():
            raise TypeError(f"{name} takes {', '.join(sorted(wanted)) or 'nothing'}; not {', '.join(sorted(params))}")
        rows = await self._db.scan(text, {**params, "owner": owner})
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def gone(self, task_ids: Sequence[str]) -> list[str]:
        rows = await self._db.scan(self._db.text("gone"), {"ids": msgspec.json.encode(task_ids).decode()})
        return [task_id for (task_id,) in rows]
