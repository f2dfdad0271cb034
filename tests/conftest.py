"""The store under test, and what stands beside it. A suite for another store overrides `database`, `store`, `rival`
and `sql`."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.store.protocols.tasks import Store
from quart_app.store.sqlite.database import Database
from quart_app.store.tasks import SqlStore
from tests.clock import VirtualClock
from tests.store.kit import Bells, Sql, open_database
from tests.store.soundness import assert_sound

# Where Python may not keep what it has compiled, each of the servers that the tests start compiles every module again:
# a quarter of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def bells() -> Bells:
    """The listener of `store`; it keeps what it was told."""
    return Bells()


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def database(database_path: Path, bells: Bells) -> AsyncIterator[Database]:
    database = await open_database(database_path, bells)
    yield database
    await database.close()


@pytest.fixture
def sql(database: Database, database_path: Path) -> Sql:
    """Another hand in the tables: reads what is really there, and writes past every guard of the store."""
    return Sql(database_path)


@pytest.fixture
async def store(database: Database, bells: Bells, sql: Sql) -> AsyncIterator[Store]:
    """A fresh store; when the test is over its tables must be sound, whatever the test did with the store."""
    yield SqlStore(database, "worker-a", bells)
    assert_sound(sql)


@pytest.fixture
def rival(database: Database) -> Store:
    """Another worker on the same tables."""
    return SqlStore(database, "worker-b", Bells())
