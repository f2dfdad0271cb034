"""Deletes the rows of deleted tasks in batches: a task may have any number of events, and outputs of megabytes."""

from __future__ import annotations

from typing import Final

import msgspec

from quart_app.store.sqlite.bounded_query import Bite
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call
from quart_app.store.statistics import SqlStatistics

CLEAR: Final = {  # in the order of left_rows
    "events": "clear_events",
    "steps": "clear_steps",
    "errors": "clear_errors",
    "args": "clear_args",
    "results": "clear_results",
    "progress": "clear_progress",
    "tags": "clear_tags",
    "signals": "clear_signals",
    "children": "clear_children",
    "families": "clear_families",
    "deleted_tasks": "clear_deleted_tasks",
}


async def clear_deleted(database: Database, rows: int, size: int) -> int:
    """Delete at most `rows` rows of about `size` characters together. Returns how many rows. The events of a deleted
    task stay until the statistics have counted them; that is done here, too, `rows` events at a time."""
    statistics = SqlStatistics(database)
    if await statistics.uncounted() and (counted := await statistics.count_events(None, rows)).more:
        return max(counted.events, 1)
    left = Bite(rows, size)
    found = list(await database.scan(database.text("left_rows"), {"limit": rows}, left.takes))
    keys: dict[str, list[tuple[object, object]]] = {}
    for table, key, rest, _ in found:
        keys.setdefault(table, []).append((key, rest))
    if keys:
        named = {table: msgspec.json.encode(of_table).decode() for table, of_table in keys.items()}
        await database.write([Call(CLEAR[table], params={"keys": text}) for table, text in named.items()])
    return len(found)
