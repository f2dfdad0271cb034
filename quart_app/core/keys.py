"""API keys and their callers. A key itself is never kept, only its SHA-256: it is 256 random bits (or, in the
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
    """`name` is the key's name, and the owner of what the caller makes; "" when there are no keys. `kinds`: those that
    it may start; None: all. `until` (ms UTC): when the secret that it has sent expires."""

    name: str
    scopes: frozenset[str]
    kinds: frozenset[str] | None = None
    until: int | None = None

    @property
    def sees(self) -> str | None:
        """The owner whose tasks the caller sees; None: those of all owners."""
        return None if "admin" in self.scopes else self.name

    def is_for(self, kind: str, scope: str) -> bool:
        """Whether the key allows this kind, which needs this scope. The scopes read and write are not checked here: a
        key that may only read starts no kind."""
        return (self.kinds is None or kind in self.kinds) and (scope != "admin" or "admin" in self.scopes)


class Key(msgspec.Struct, frozen=True):
    """A key without its secret: `hash` is the SHA-256 in hex. Times are ms UTC; keys of the settings have none. After a
    rotation the secret before, `old_hash`, is valid until `old_until`."""

    name: str
    hash: str
    scopes: tuple[Scope, ...]
    created_at: int | None = None
    revoked_at: int | None = None
    source: Literal["settings", "store"] = "settings"
    expires_at: int | None = None
    kinds: tuple[str, ...] = ()
    last_used_at: int | None = None
    old_hash: str | None = None
    old_until: int | None = None


class KeyRing:
    """The valid keys, each until its own time."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._digests: dict[str, list[bytes]] = {}  # by name, the newest secret first
        for key in keys:
            self.add(key)

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, name: str) -> bool:
        return name in self._digests

    def add(self, key: Key) -> None:
        """Add a key; `admin` includes the other scopes. Raises ValueError for a name or a secret that is in use."""
        if key.name in self._digests:
            raise ValueError(f"there are two keys of the name {key.name}")
        secrets = [(bytes.fromhex(key.hash), key.expires_at)]
        if key.old_hash is not None:
            ends = [at for at in (key.old_until, key.expires_at) if at is not None]
            secrets.append((bytes.fromhex(key.old_hash), min(ends, default=None)))
        for digest, _ in secrets:
            if digest in self._callers:
                raise ValueError(f"{self._callers[digest][1].name} and {key.name} have the same key")
        scopes = frozenset(SCOPES if "admin" in key.scopes else key.scopes)
        kinds = frozenset(key.kinds) if key.kinds else None
        for digest, until in secrets:
            self._callers[digest] = (digest, Caller(key.name, scopes, kinds, until))
        self._digests[key.name] = [digest for digest, _ in secrets]

    def of(self, name: str, now: int) -> Caller | None:
        """The caller of the key of this name; None when it is not valid at `now` (ms UTC)."""
        digests = self._digests.get(name)
        found = self._callers[digests[0]][1] if digests is not None else None
        return found if found is not None and (found.until is None or now < found.until) else None

    def names(self) -> list[str]:
        return list(self._digests)

    def remove(self, name: str) -> None:
        for digest in self._digests.pop(name, ()):
            del self._callers[digest]

    def find(self, key: bytes, now: int) -> Caller | None:
        """The caller of this key, which may be any bytes. The time it takes reveals nothing of the keys: the look-up
        compares digests, and a client cannot choose the digest of its guess."""
        found = self._look_up(key)
        return found if found is not None and (found.until is None or now < found.until) else None

    def expired(self, key: bytes) -> Caller | None:
        """The caller of a key for which `find` returns None, if the key was valid before."""
        return self._look_up(key)

    def _look_up(self, key: bytes) -> Caller | None:
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
