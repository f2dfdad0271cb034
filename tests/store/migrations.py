"""A second migration, as a later version might bring, and a look at the schema a file has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from quart_app.store import migrate

_TEXT = """-- A column, a table with a trigger, and a change of rows.
ALTER TABLE probe ADD COLUMN note TEXT;
CREATE TABLE more (a INTEGER NOT NULL) STRICT;
CREATE TRIGGER more_added AFTER INSERT ON more BEGIN
  UPDATE probe SET n = n + 1;
  DELETE FROM more;
END;
UPDATE probe SET note = 'new';
"""
SECOND = migrate.Migration(2, "more", "checksum of more", _TEXT)


def first_and(other: migrate.Migration) -> list[migrate.Migration]:
    return [*migrate.find("sqlite")[:1], other]


def schema_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
