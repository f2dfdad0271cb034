"""What is left of deleted tasks goes in bites: a task may have any number of events, and outputs of megabytes."""

from __future__ import annotations

from typing import Final

import msgspec

from quart_app.store.bounded import Bite
from quart_app.store.sqlite import Database
from quart_app.store.transaction import Call

CLEAR: Final = {  # in the order of left_rows
    "events": "clear_events",
    "steps": "clear_steps",
    "errors": "clear_errors",
    "args": "clear_args",
    "results": "clear_results",
    "progress": "clear_progress",
    "tags": "clear_tags",
    "deleted_tasks": "clear_deleted_tasks",
}


async def clear_deleted(database: Database, rows: int, size: int) -> int:
    """Delete at most `rows` rows of about `size` characters; how many went."""
    left = Bite(rows, size)
    found = list(await database.scan(database.text("left_rows"), {"limit": rows}, left.takes))
    keys: dict[str, list[tuple[object, object]]] = {}
    for table, key, rest, _ in found:
        keys.setdefault(table, []).append((key, rest))
    if keys:
        named = {table: msgspec.json.encode(of_table).decode() for table, of_table in keys.items()}
        await database.write([Call(CLEAR[table], params={"keys": text}) for table, text in named.items()])
    return len(found)
