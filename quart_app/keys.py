"""Keys: adds, lists and revokes API keys, and keeps the ring of those that open something now."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from quart_app.clock import Clock
from quart_app.core import keys
from quart_app.core.errors import ConfigError, KeyConflict, KeyNotFound
from quart_app.core.keys import Key, KeyRing, Scope
from quart_app.settings import Settings
from quart_app.store.base import KeyStore

log = logging.getLogger("quart_app.keys")


class Keys:
    """The keys of the settings and those of the store; a name is used once over both."""

    def __init__(self, store: KeyStore, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._given = settings.keys
        self._changing = asyncio.Lock()  # so that the ring changes in the order of the store
        self.ring = KeyRing(self._given)
        self.on_revoke: Callable[[str], None] = lambda name: None
        """Set by the runtime: ends what the key has opened."""

    async def load(self) -> None:
        """Read the store's keys, once, at the start. Raises ConfigError when the settings use a name of theirs."""
        for key in await self._store.keys():
            if key.revoked_at is None:
                try:
                    self.ring.add(key)
                except ValueError as error:
                    raise ConfigError(
                        f"QUART_APP_API_KEYS: {error}, one of them stored; take another name, or revoke the stored one"
                    ) from None

    def check_exposure(self, exposed: Sequence[str]) -> None:
        """Without keys nobody but this machine is served. `exposed`: addresses that others can reach. Raises
        ConfigError."""
        if self.ring or self._settings.allow_anonymous:
            return
        remedy = "anybody could start tasks; set QUART_APP_API_KEYS, or QUART_APP_ALLOW_ANONYMOUS=1"
        if exposed:
            addresses = ", ".join(exposed)
            raise ConfigError(f"refusing to listen on {addresses} without keys: {remedy}, or listen on 127.0.0.1")
        if self._settings.trusted_proxies:  # then a connection from this machine comes from anywhere
            raise ConfigError(f"refusing to serve behind a proxy (QUART_APP_TRUSTED_PROXIES) without keys: {remedy}")

    def sees(self, owner: str) -> str | None:
        """The owner whose tasks a task of `owner` may read; None: everybody's. Without an owner are what the operator
        made and what was made when there were no keys; only who sees everything sees those."""
        bearer = self.ring.of(owner)
        if bearer is not None:
            return bearer.sees
        return owner or None  # the key may be revoked by now

    async def list(self) -> list[Key]:
        return [*self._given, *await self._store.keys()]

    async def add(self, name: str, scopes: Sequence[Scope]) -> str:
        """A new key, which nobody can ever read again. The name of a revoked one may be used again: its new key sees
        the same tasks. Raises KeyConflict, StoreUnavailable."""
        # Shielded: when the client hangs up, store and ring must still say the same.
        return await asyncio.shield(self._add(name, scopes))

    async def _add(self, name: str, scopes: Sequence[Scope]) -> str:
        text = secrets.token_urlsafe(32)
        key = Key(name, keys.hashed(text), tuple(scopes), self._clock.now(), source="store")
        async with self._changing:
            if name in self.ring or not await self._store.add_key(key):
                raise KeyConflict(f"there is a key of the name {name} already")
            self.ring.add(key)
        log.info("key added", extra={"fields": {"name": name, "scopes": " ".join(scopes)}})
        return text

    async def revoke(self, name: str) -> None:
        """From now on the key opens nothing, and the streams that it has opened end. Raises KeyNotFound, KeyConflict
        for one of the settings, StoreUnavailable."""
        await asyncio.shield(self._revoke(name))

    async def _revoke(self, name: str) -> None:
        async with self._changing:
            if any(key.name == name for key in self._given):
                raise KeyConflict(f"the key {name} stands in QUART_APP_API_KEYS; remove it there")
            if not await self._store.revoke_key(name, self._clock.now()):
                raise KeyNotFound(name)
            self.ring.remove(name)
            self.on_revoke(name)
        log.info("key revoked", extra={"fields": {"name": name}})
