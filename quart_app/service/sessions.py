"""Sessions: browsers that are signed in with a key.

A session opens what the secret opens that it was made with, and nothing once that is revoked, over or exchanged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets

import msgspec

from quart_app.clock import Clock
from quart_app.core.errors import KeyGone
from quart_app.core.keys import Caller
from quart_app.core.sessions import MAX_AGE, MOST, MOST_OF_ONE, Session
from quart_app.service.keys import Keys
from quart_app.store.protocols.sessions import SessionStore

log = logging.getLogger("quart_app.keys")


class Sessions:
    """All of them are kept in memory, so that a request needs no read of the store."""

    def __init__(self, store: SessionStore, clock: Clock, keys: Keys) -> None:
        self._store = store
        self._clock = clock
        self._keys = keys
        self._open: dict[str, Session] = {}  # by hash, the oldest first
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read them, once, at the start."""
        self._open = {one.hash: one for one in await self._store.sessions()}

    def __len__(self) -> int:
        return len(self._open)

    def find(self, token: bytes, now: int) -> Caller | None:
        """The caller of the session of this token, which may be any bytes; None when it opens nothing at `now`."""
        session = self._open.get(hashlib.sha256(token).hexdigest())
        return self._caller(session, now) if session is not None else None

    def _caller(self, session: Session, now: int) -> Caller | None:
        if now >= session.expires_at:
            return None
        found = self._keys.ring.of_secret(bytes.fromhex(session.secret), now)
        if found is None or found.name != session.name:
            return None
        until = session.expires_at if found.until is None else min(session.expires_at, found.until)
        return msgspec.structs.replace(found, until=until)

    async def open(self, key: bytes) -> tuple[str, Session]:
        """Sign in with this key. Returns the token, which cannot be read again, and the session. Raises KeyGone when
        the key opens nothing, StoreUnavailable."""
        now = self._clock.now()
        digest = hashlib.sha256(key)
        found = self._keys.ring.of_secret(digest.digest(), now)
        if found is None:
            raise KeyGone("there is no such key")
        token = secrets.token_urlsafe(32)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        session = Session(hashed, found.name, digest.hexdigest(), now, now + MAX_AGE)
        # Shielded: when the browser hangs up, store and memory must still agree.
        await asyncio.shield(self._put(session))
        log.info("signed in", extra={"fields": {"name": session.name}})
        return token, session

    async def _put(self, session: Session) -> None:
        async with self._changing:
            await self._end(self._in_the_way(session))
            if not await self._store.put_session(session):
                raise KeyGone(f"the key {session.name} was revoked")
            self._open[session.hash] = session

    def _in_the_way(self, session: Session) -> list[str]:
        """The oldest sessions, of which there would be too many with this one."""
        own = [one.hash for one in self._open.values() if one.name == session.name]
        over = own[: max(len(own) + 1 - MOST_OF_ONE, 0)]
        rest = [hashed for hashed in self._open if hashed not in over]
        return over + rest[: max(len(rest) + 1 - MOST, 0)]

    async def close(self, token: bytes) -> None:
        """Sign out. Raises StoreUnavailable."""
        hashed = hashlib.sha256(token).hexdigest()
        if hashed in self._open:
            await asyncio.shield(self._close([hashed]))

    async def _close(self, hashes: list[str]) -> None:
        async with self._changing:
            await self._end(hashes)

    async def _end(self, hashes: list[str]) -> None:
        if hashes:
            await self._store.end_sessions(hashes)
            for hashed in hashes:
                self._open.pop(hashed, None)

    async def run_once(self, now: int) -> float | None:
        """Delete those that open nothing any more."""
        over = [one.hash for one in self._open.values() if self._caller(one, now) is None]
        if over:
            await asyncio.shield(self._close(over))
        return None
