"""The contract of the store for keys, and for the log of what was done with them; as in base.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from quart_app.core.acts import Act
from quart_app.core.keys import Key


class KeyStore(Protocol):
    """The API keys that were added by hand. An `act` is put on record in the same transaction, if there was one."""

    async def add_key(self, key: Key, act: Act | None = None) -> bool:
        """False when there is one of this name that opens something; one that is revoked or over makes room."""
        ...

    async def rotate_key(self, name: str, hashed: str, old_until: int, now: int, act: Act | None = None) -> bool:
        """Another secret for the key; the one before is good until `old_until`, and the one before that no more. False
        when there is no key of this name that opens something."""
        ...

    async def revoke_key(self, name: str, now: int, act: Act | None = None) -> bool:
        """False when there is none of this name. One that is revoked stays as it is."""
        ...

    async def use_keys(self, used: Mapping[str, int]) -> None:
        """When the keys of these names were last used."""
        ...

    async def keys(self) -> list[Key]:
        """All, revoked ones too, by name."""
        ...


class ActStore(Protocol):
    async def put_acts(self, acts: Sequence[Act]) -> None: ...

    async def acts(self, before: int | None, limit: int, act: str | None = None) -> list[Act]:
        """The newest first, those with a seq below `before`."""
        ...

    async def prune_acts(self, before: int, most: int, most_refusals: int, limit: int) -> int:
        """Delete what is older than `before` and what is beyond so many acts, and refusals. How many rows went; at most
        about `limit` of each sort."""
        ...
