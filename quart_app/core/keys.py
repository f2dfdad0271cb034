"""API keys: who a key makes its bearer. A key itself is never kept, only its SHA-256: it is 256 random bits (or, in the
settings, chosen by the operator), so a slow hash would protect nothing more and cost every request."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Scope = Literal["read", "write", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "write")
NAME_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"

_NAME: Final = re.compile(NAME_PATTERN)
_KEY: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{16,512}")


class Caller(msgspec.Struct, frozen=True):
    """`name` is the key's name, and the owner of what the caller makes; "" where there are no keys."""

    name: str
    scopes: frozenset[str]

    @property
    def sees(self) -> str | None:
        """The owner whose tasks the caller sees; None: everybody's."""
        return None if "admin" in self.scopes else self.name


class Key(msgspec.Struct, frozen=True):
    """A key without the key: `hash` is its SHA-256 in hex. Those of the settings have no times (ms UTC)."""

    name: str
    hash: str
    scopes: tuple[Scope, ...]
    created_at: int | None = None
    revoked_at: int | None = None
    source: Literal["settings", "store"] = "settings"


class KeyRing:
    """The keys that open something now."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._digests: dict[str, bytes] = {}
        for key in keys:
            self.add(key)

    def __len__(self) -> int:
        return len(self._callers)

    def __contains__(self, name: str) -> bool:
        return name in self._digests

    def add(self, key: Key) -> None:
        """`admin` includes the other scopes. Raises ValueError for a name or a key that is here already."""
        digest = bytes.fromhex(key.hash)
        if key.name in self._digests:
            raise ValueError(f"there are two keys of the name {key.name}")
        if digest in self._callers:
            raise ValueError(f"{self._callers[digest][1].name} and {key.name} have the same key")
        scopes = SCOPES if "admin" in key.scopes else key.scopes
        self._callers[digest] = (digest, Caller(key.name, frozenset(scopes)))
        self._digests[key.name] = digest

    def of(self, name: str) -> Caller | None:
        """Who the bearer of the key of this name is."""
        digest = self._digests.get(name)
        return self._callers[digest][1] if digest is not None else None

    def remove(self, name: str) -> None:
        if (digest := self._digests.pop(name, None)) is not None:
            del self._callers[digest]

    def find(self, key: bytes) -> Caller | None:
        """Whose key this is, whatever bytes a client sends. How long it takes says nothing of the keys: the look-up
        compares digests, and a client cannot choose the digest that its guess has."""
        digest = hashlib.sha256(key).digest()
        found = self._callers.get(digest)
        return found[1] if found is not None and hmac.compare_digest(found[0], digest) else None


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def parse(text: str) -> list[Key]:
    """`name:key,name2:key2` as keys with the scopes read and write. Raises ValueError, which never shows a key."""
    keys = []
    for number, entry in enumerate(text.split(",") if text else [], start=1):
        name, _, key = entry.strip().partition(":")
        if not _NAME.fullmatch(name) or not _KEY.fullmatch(key):
            raise ValueError(
                f"entry {number} is not NAME:KEY, a name of 1 to 64 letters, digits, dots, dashes or underscores "
                "and a key of 16 to 512 visible ASCII characters without a comma"
            )
        keys.append(Key(name, hashed(key), DEFAULT_SCOPES))
    KeyRing(keys)
    return keys
