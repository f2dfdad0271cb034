"""The store of the API keys."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core.keys import Key, hashed
from quart_app.store.sql_keys import SqlKeys
from tests.store.kit import Bells, Sql, T, open_database


def key(name: str, secret: str = "", at: int = T) -> Key:
    return Key(name, hashed(secret or name), ("read", "admin"), at, None, "store")


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[SqlKeys]:
    database = await open_database(tmp_path / "tasks.db", Bells())
    yield SqlKeys(database)
    await database.close()


async def test_what_was_added_is_read_by_name(keys: SqlKeys) -> None:
    assert await keys.keys() == []
    assert await keys.add_key(key("zoe"))
    assert await keys.add_key(key("ann", at=T + 1))
    assert await keys.keys() == [key("ann", at=T + 1), key("zoe")]


async def test_a_name_that_is_in_use_is_refused_and_stays_as_it_was(keys: SqlKeys) -> None:
    assert await keys.add_key(key("ann"))
    assert not await keys.add_key(key("ann", "other", T + 1))
    assert await keys.keys() == [key("ann")]


async def test_a_revoked_key_stays_on_the_list_with_its_first_time_and_makes_room(keys: SqlKeys) -> None:
    assert not await keys.revoke_key("ann", T)
    await keys.add_key(key("ann"))
    assert await keys.revoke_key("ann", T + 5)
    assert await keys.revoke_key("ann", T + 9)
    (revoked,) = await keys.keys()
    assert revoked.revoked_at == T + 5
    assert await keys.add_key(key("ann", "new", T + 10))
    assert await keys.keys() == [key("ann", "new", T + 10)]


async def test_one_secret_never_has_two_names(keys: SqlKeys) -> None:
    await keys.add_key(key("ann", "same"))
    with pytest.raises(sqlite3.IntegrityError):
        await keys.add_key(key("bob", "same"))
    assert await keys.keys() == [key("ann", "same")]


@pytest.mark.parametrize(
    "columns", ["'', 'h', 'read'", "'ann', 'h', 'read'", "'ann', zeroblob(64), 'read'", "NULL, 'h', ''"]
)
async def test_the_table_takes_nothing_that_is_no_key(keys: SqlKeys, tmp_path: Path, columns: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        Sql(tmp_path / "tasks.db")(f"INSERT INTO api_keys (name, hash, scopes, created_at) VALUES ({columns}, 1)")
