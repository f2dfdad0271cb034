"""The contracts of the stores of the API keys and of the audit log. Times and errors are as in tasks.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from quart_app.core.audit_acts import Act
from quart_app.core.keys import Key


class KeyStore(Protocol):
    """The API keys that were added by hand. An `act` is recorded in the same transaction, if the change landed."""

    async def add_key(self, key: Key, act: Act | None = None) -> bool:
        """False when a valid key of this name exists; a revoked or expired one is replaced."""
        ...

    async def rotate_key(self, name: str, hashed: str, old_until: int, now: int, act: Act | None = None) -> bool:
        """Give the key a new secret. The secret before is valid until `old_until`, and older ones are not. False when
        no valid key of this name exists."""
        ...

    async def revoke_key(self, name: str, now: int, act: Act | None = None) -> bool:
        """False when there is no key of this name. A revoked key stays as it is."""
        ...

    async def use_keys(self, used: Mapping[str, int]) -> None:
        """Record when the keys of these names were last used."""
        ...

    async def keys(self) -> list[Key]:
        """All keys, including revoked ones, by name."""
        ...


class ActStore(Protocol):
    async def put_acts(self, acts: Sequence[Act]) -> None: ...

    async def acts(self, before: int | None, limit: int, act: str | None = None) -> list[Act]:
        """Acts with a seq below `before`, the newest first."""
        ...

    async def prune_acts(self, before: int, most: int, most_refusals: int, limit: int) -> int:
        """Delete rows older than `before`, and the oldest beyond `most` acts and `most_refusals` refusals. Deletes at
        most `limit` of each sort. Returns how many rows."""
        ...
