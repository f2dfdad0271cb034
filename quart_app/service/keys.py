"""Keys: adds, lists, rotates and revokes API keys, and keeps the ring of the valid ones."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec

from quart_app.clock import Clock
from quart_app.core import keys
from quart_app.core.audit_acts import OF_KEY, Actor
from quart_app.core.errors import ConfigError, InvalidArgs, KeyConflict, KeyGone, KeyNotFound, KindRefused
from quart_app.core.keys import Caller, Key, KeyRing, Scope
from quart_app.service.audit_log import AuditLog
from quart_app.settings import Settings
from quart_app.store.protocols.keys import KeyStore

log = logging.getLogger("quart_app.keys")

MAX_PEERS: Final = 100  # peers remembered for one key
WRITE_USES: Final = 60_000  # ms between two writes of a last use

T = TypeVar("T")


def new_text() -> str:
    """A random key of 256 bits. It never begins with a dash, which command lines take for the next option."""
    while (text := secrets.token_urlsafe(32)).startswith("-"):
        pass
    return text


class _Use(msgspec.Struct):
    """When a key was last used, which last use was written to the store, and the peers that used it."""

    at: int
    written: int
    peer: str
    peers: dict[str, None]


class Keys:
    """The keys of the settings and those of the store. A name is unique over both."""

    def __init__(self, store: KeyStore, clock: Clock, settings: Settings, audit_log: AuditLog) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._audit_log = audit_log
        self._given = settings.keys
        self._changing = asyncio.Lock()  # so that the ring changes in the order of the store
        self._uses: dict[str, _Use] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._revoked: set[str] = set()
        self.ring = KeyRing(self._given)
        self.exist = bool(self._given)
        """Whether there was ever a key. If so, there is no access without a key, even when no key is valid any more."""
        self.on_revoke: Callable[[str], None] = lambda name: None
        """Set by the runtime: ends the streams of the key."""

    async def load(self) -> None:
        """Read the store's keys, once, at the start. Raises ConfigError when the settings have one of their names."""
        for key in await self._store.keys():
            self.exist = True
            if key.revoked_at is not None:
                self._revoked.add(key.name)
                continue
            try:
                self.ring.add(key)
            except ValueError as error:
                raise ConfigError(
                    f"QUART_APP_API_KEYS: {error}, one of them stored; take another name, or revoke the stored one"
                ) from None

    def check_exposure(self, exposed: Sequence[str]) -> None:
        """Without keys only this machine is served. `exposed`: addresses that other machines can reach. Raises
        ConfigError."""
        if self.exist:
            if not any(self.of(name) for name in self.ring.names()):
                log.warning(
                    "no key opens anything: all are revoked or over; `python -m quart_app keys add NAME` makes one"
                )
            return
        if self._settings.allow_anonymous:
            return
        remedy = "anybody could start tasks; set QUART_APP_API_KEYS, or QUART_APP_ALLOW_ANONYMOUS=1"
        if exposed:
            addresses = ", ".join(exposed)
            raise ConfigError(f"refusing to listen on {addresses} without keys: {remedy}, or listen on 127.0.0.1")
        if self._settings.proxies:  # a connection from this machine may then come from anywhere
            raise ConfigError(f"refusing to serve behind a proxy (QUART_APP_TRUSTED_PROXIES) without keys: {remedy}")

    # --- checking callers

    def now(self) -> int:
        return self._clock.now()

    def of(self, name: str) -> Caller | None:
        """The caller that uses this key; None when the key is not valid now."""
        return self.ring.of(name, self._clock.now())

    def used(self, name: str, peer: str, now: int) -> None:
        """Record that the key of this name was used by this peer."""
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = _Use(0, 0, "", {})
        use.at = now
        if peer != use.peer:
            use.peer = peer
            use.peers[peer] = use.peers.pop(peer, None)
            if len(use.peers) > MAX_PEERS:
                del use.peers[next(iter(use.peers))]

    def known_from(self, name: str, peer: str) -> bool:
        """Whether this peer has used the key of this name before."""
        use = self._uses.get(name)
        return use is not None and peer in use.peers

    def sees(self, owner: str) -> str | None:
        """The owner whose tasks a task of `owner` may read; None: those of all owners. Tasks without an owner were made
        by the operator, or when there were no keys; only callers that see all tasks see them."""
        bearer = self.of(owner)
        if bearer is not None:
            return bearer.sees
        return owner or None  # the key may be revoked by now

    def check_start(self, owner: str, kind: str, now: int | None = None) -> None:
        """Check that a client or a schedule of this owner may start a task now. Raises KeyGone, KindRefused."""
        if not owner:
            return
        bearer = self.ring.of(owner, self._clock.now() if now is None else now)
        if bearer is None:
            ended = "was revoked" if owner in self._revoked else "is over" if owner in self.ring else "is not there"
            raise KeyGone(f"the key {owner} {ended}")
        if bearer.kinds is not None and kind not in bearer.kinds:
            raise KindRefused(f"the key {owner} may not start {kind}; it may start {', '.join(sorted(bearer.kinds))}")

    async def during(self, caller: Caller, waiting: Coroutine[Any, Any, T]) -> T:
        """Await `waiting` and return its result. Raises KeyGone as soon as the caller's key is no longer valid."""
        if not caller.name:
            return await waiting
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        of_name = self._waiting.setdefault(caller.name, set())
        of_name.add(gone)
        task = asyncio.ensure_future(waiting)
        try:
            left = None if caller.until is None else max(caller.until - self._clock.now(), 0) / 1000
            either: list[asyncio.Future[Any]] = [task, gone]
            await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or not task.done():
                raise KeyGone(f"the key {caller.name} opens nothing any more")
            return task.result()
        finally:
            task.cancel()
            of_name.discard(gone)
            if not of_name and self._waiting.get(caller.name) is of_name:
                del self._waiting[caller.name]

    # --- changing them

    async def list(self) -> list[Key]:
        def latest(key: Key) -> Key:
            use = self._uses.get(key.name)
            seen = max(key.last_used_at or 0, use.at if use is not None else 0)
            return msgspec.structs.replace(key, last_used_at=seen) if seen else key

        return [latest(key) for key in [*self._given, *await self._store.keys()]]

    async def add(
        self,
        name: str,
        scopes: Sequence[Scope],
        actor: Actor,
        expires: float | None = None,
        kinds: Sequence[str] = (),
    ) -> tuple[Key, str]:
        """Make a key. Returns it and its text, which cannot be read again. The name of a revoked key may be used again;
        the new key then sees the same tasks. `expires` in seconds. Raises KeyConflict, StoreUnavailable."""
        now = self._clock.now()
        if kinds and "admin" in scopes:
            raise InvalidArgs([("/kinds", "a key with the scope admin may start all kinds: it can make other keys")])
        text = new_text()
        ends = now + max(int(expires * 1000), 1) if expires is not None else None
        key = Key(name, keys.hashed(text), tuple(scopes), now, None, "store", ends, tuple(sorted(set(kinds))))
        # Shielded: when the client hangs up, store and ring must still agree.
        await asyncio.shield(self._add(key, actor))
        return key, text

    async def _add(self, key: Key, actor: Actor) -> None:
        detail = " ".join(key.scopes) + (f"; {len(key.kinds)} kinds" if key.kinds else "")
        act = self._audit_log.act("key.add", actor, key.name, detail)
        async with self._changing:
            self._check_actor(actor)
            taken = any(one.name == key.name for one in self._given)
            if taken or not await self._store.add_key(key, act):
                raise KeyConflict(f"there is a key of the name {key.name} already")
            self.ring.remove(key.name)  # one that had expired
            self.ring.add(key)
            self._revoked.discard(key.name)
            self._uses.pop(key.name, None)
            self.exist = True
        log.info("key added", extra={"fields": {"name": key.name, "scopes": " ".join(key.scopes)}})

    async def rotate(self, name: str, grace: float, actor: Actor) -> tuple[Key, str]:
        """Give the key a new secret. The secret before is valid for `grace` seconds more, and older ones are not.
        Raises KeyNotFound, KeyConflict, StoreUnavailable."""
        text = new_text()
        return await asyncio.shield(self._rotate(name, keys.hashed(text), int(grace * 1000), actor)), text

    async def _rotate(self, name: str, hashed: str, grace_ms: int, actor: Actor) -> Key:
        async with self._changing:
            self._check_actor(actor)
            self._check_stored(name)
            now = self._clock.now()
            act = self._audit_log.act("key.rotate", actor, name, f"the old secret ends in {grace_ms / 1000:g} s")
            if not await self._store.rotate_key(name, hashed, now + grace_ms, now, act):
                raise KeyNotFound(name)
            (key,) = [one for one in await self._store.keys() if one.name == name]
            self.ring.remove(name)
            self.ring.add(key)
            self._end(name)  # clients connect again, and their streams end with the secret that they use then
        log.info("key rotated", extra={"fields": {"name": name}})
        return key

    async def revoke(self, name: str, actor: Actor, detail: str = "") -> None:
        """Make the key invalid from now on and end its streams. `detail` goes into the audit log. Raises KeyNotFound,
        KeyConflict for a key of the settings, StoreUnavailable, and KeyGone when the actor's own key is not valid."""
        await asyncio.shield(self._revoke(name, actor, detail))

    async def _revoke(self, name: str, actor: Actor, detail: str) -> None:
        async with self._changing:
            self._check_actor(actor)
            self._check_stored(name)
            act = self._audit_log.act("key.revoke", actor, name, detail)
            if not await self._store.revoke_key(name, self._clock.now(), act):
                raise KeyNotFound(name)
            self.ring.remove(name)
            self._revoked.add(name)
            self._end(name)
        log.info("key revoked", extra={"fields": {"name": name}})

    def _check_actor(self, actor: Actor) -> None:
        """The actor's key may have been revoked while this waited for the lock. Raises KeyGone."""
        name = actor.name.removeprefix(OF_KEY)
        if name != actor.name and self.of(name) is None:
            raise KeyGone(f"the key {name} opens nothing any more")

    def _check_stored(self, name: str) -> None:
        if any(key.name == name for key in self._given):
            raise KeyConflict(f"the key {name} stands in QUART_APP_API_KEYS; change it there")

    def _end(self, name: str) -> None:
        for gone in self._waiting.get(name, ()):
            if not gone.done():
                gone.set_result(None)
        self.on_revoke(name)

    # --- upkeep

    async def run_once(self, now: int) -> float | None:
        """Write when keys were last used, for each key at most once a minute."""
        await self._write_uses(WRITE_USES)
        return None

    async def flush(self) -> None:
        await self._write_uses(0)

    async def _write_uses(self, older: int) -> None:
        stored = {name for name in self._uses if all(key.name != name for key in self._given)}
        due = {
            name: use.at
            for name, use in self._uses.items()
            if name in stored and use.at != use.written and abs(use.at - use.written) >= older
        }
        if due:
            await self._store.use_keys(due)
            for name, at in due.items():
                if name in self._uses:
                    self._uses[name].written = at
