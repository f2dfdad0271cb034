"""The store of the API keys."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quart_app.core.audit_acts import Act
from quart_app.core.keys import Key, hashed
from quart_app.store.keys import SqlActs, SqlKeys
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


async def test_a_rotation_keeps_one_secret_before_for_its_time(keys: SqlKeys) -> None:
    assert not await keys.rotate_key("ann", hashed("2"), T + 9, T)
    await keys.add_key(key("ann", "1"))
    for number, until in ((2, T + 100), (3, T + 200)):
        assert await keys.rotate_key("ann", hashed(str(number)), until, T)
    (found,) = await keys.keys()
    assert (found.hash, found.old_hash, found.old_until) == (hashed("3"), hashed("2"), T + 200)
    assert await keys.rotate_key("ann", hashed("4"), T, T), "without a grace"
    (found,) = await keys.keys()
    assert (found.hash, found.old_hash, found.old_until) == (hashed("4"), None, None)
    await keys.revoke_key("ann", T)
    assert not await keys.rotate_key("ann", hashed("5"), T + 9, T)


async def test_a_key_that_is_over_makes_room_and_one_that_is_not_does_not(keys: SqlKeys) -> None:
    ends = Key("ann", hashed("1"), ("read",), T, None, "store", T + 10, ("echo", "add"), None)
    assert await keys.add_key(ends)
    assert await keys.keys() == [ends]
    assert not await keys.add_key(key("ann", "2", T + 9))
    assert not await keys.rotate_key("ann", hashed("3"), T + 99, T + 10), "it is over"
    assert await keys.add_key(key("ann", "2", T + 10))
    assert await keys.keys() == [key("ann", "2", T + 10)]


async def test_an_act_is_kept_with_what_it_tells_of_or_not_at_all(keys: SqlKeys) -> None:
    acts = SqlActs(keys._db)
    act = Act(at=T, act="key.add", actor="operator", target="ann", last_at=T)
    assert await keys.add_key(key("ann"), act)
    assert not await keys.add_key(key("ann", "other"), act)
    assert not await keys.revoke_key("bob", T, act)
    assert [one.target for one in await acts.acts(None, 9)] == ["ann"]


async def test_last_uses_only_grow_and_those_of_revoked_keys_stay(keys: SqlKeys) -> None:
    for name in ("ann", "bob"):
        await keys.add_key(key(name))
    await keys.revoke_key("bob", T)
    for at in (T + 5, T + 3):
        await keys.use_keys({"ann": at, "bob": at, "nobody": at})
    assert [one.last_used_at for one in await keys.keys()] == [T + 5, None]
