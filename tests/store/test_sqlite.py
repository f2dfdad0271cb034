"""The SQLite store passes the suite."""

from __future__ import annotations

from tests.store.conformance import StoreConformance


class TestSqlite(StoreConformance):
    pass
