"""The store of sessions: they end with the secret they were opened with, in the same transaction."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from quart_app.core.keys import Key, hashed
from quart_app.core.sessions import Session
from quart_app.store.audit import audit
from quart_app.store.keys import SqlKeys
from quart_app.store.sessions import SqlSessions
from quart_app.store.sqlite.database import Database
from tests.store.kit import T


def session(token: str, secret: str = "ann", name: str = "ann", at: int = T) -> Session:
    return Session(hashed(token), name, hashed(secret), at, at + 1000)


@pytest.fixture
async def sessions(database: Database) -> SqlSessions:
    await SqlKeys(database).add_key(Key("ann", hashed("ann"), ("read",), T, None, "store"))
    return SqlSessions(database)


async def test_what_was_put_is_read_the_oldest_first(sessions: SqlSessions) -> None:
    assert await sessions.sessions() == []
    late, early = session("a", at=T + 5), session("b")
    assert await sessions.put_session(late)
    assert await sessions.put_session(early)
    assert await sessions.sessions() == [early, late]
    await sessions.end_sessions([late.hash, hashed("nobody")])
    assert await sessions.sessions() == [early]


async def test_a_revoked_key_ends_its_sessions_and_opens_none(sessions: SqlSessions, database: Database) -> None:
    keys = SqlKeys(database)
    await keys.add_key(Key("bob", hashed("bob"), ("read",), T, None, "store"))
    of_bob = session("b", "bob", "bob")
    await sessions.put_session(session("a"))
    await sessions.put_session(of_bob)
    await keys.revoke_key("ann", T)
    assert await sessions.sessions() == [of_bob]
    assert not await sessions.put_session(session("c"))
    assert await sessions.sessions() == [of_bob]


async def test_a_session_lives_as_long_as_its_secret_is_one_of_the_keys(
    sessions: SqlSessions, database: Database
) -> None:
    keys = SqlKeys(database)
    first, second = session("a"), session("b", "second")
    await sessions.put_session(first)
    await keys.rotate_key("ann", hashed("second"), T + 50, T)
    await sessions.put_session(second)
    assert await sessions.sessions() == [second, first] or await sessions.sessions() == [first, second]
    await keys.rotate_key("ann", hashed("third"), T + 50, T)
    assert await sessions.sessions() == [second]
    await keys.rotate_key("ann", hashed("fourth"), T, T)
    assert await sessions.sessions() == []


async def test_a_use_of_the_key_ends_nothing(sessions: SqlSessions, database: Database) -> None:
    await sessions.put_session(session("a"))
    await SqlKeys(database).use_keys({"ann": T + 5})
    assert await sessions.sessions() == [session("a")]


async def test_a_key_of_the_settings_needs_no_row(sessions: SqlSessions) -> None:
    of_settings = session("z", "from-the-settings", "zoe")
    assert await sessions.put_session(of_settings)
    assert await sessions.sessions() == [of_settings]


async def test_a_session_that_is_over_before_it_begins_is_refused(sessions: SqlSessions) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        await sessions.put_session(msgspec.structs.replace(session("a"), expires_at=T))


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("UPDATE api_keys SET revoked_at = 1", "a session of the key 'ann' has a revoked key"),
        (
            "UPDATE sessions SET secret = replace(hex(zeroblob(32)), '0', 'a')",
            "a session of the key 'ann' was opened with a secret that its key has not",
        ),
    ],
)
async def test_the_audit_finds_a_session_that_should_have_ended(
    sessions: SqlSessions, database: Database, database_path: Path, fault: str, finding: str
) -> None:
    await sessions.put_session(session("a"))
    await database.close()
    assert audit(database_path).findings == []
    assert audit(database_path).checked["sessions"] == 1
    with closing(sqlite3.connect(database_path)) as connection:
        connection.executescript(f"DROP TRIGGER sessions_of_secrets_gone; {fault};")
    assert audit(database_path).findings == [finding]
