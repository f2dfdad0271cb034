"""Unique tasks: what becomes of a task whose key another one holds that has not ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import msgspec

OnDuplicate = Literal["return", "reject", "replace", "debounce"]
Decision = Literal["make", "behind", "replace", "return", "reject"]

POLICIES: Final[tuple[OnDuplicate, ...]] = get_args(OnDuplicate)
MOST_DEBOUNCES: Final = 10  # times the seconds, from the first of the duplicates on
MAX_KEY: Final = 200
KEY_PATTERN: Final = rf"[^\x00-\x1f\x7f]{{1,{MAX_KEY}}}"
WAITS: Final = "unique_key"
"""`waiting_for` of a task that waits for the end of the one ahead of it."""

_KEY: Final = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{MAX_KEY}}}")


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """What `@task(unique=…)` declares. `args`: the names of those that make the key; None: all. `debounce` in seconds,
    with "debounce" only."""

    args: tuple[str, ...] | None
    on_duplicate: OnDuplicate
    debounce: float | None


class Holder(msgspec.Struct, frozen=True):
    """The newest task with a key that has not ended. `fence` counts its claims, `first_at` is when it was made."""

    id: str
    status: Literal["pending", "processing"]
    fence: int
    first_at: int


def decide(holder: Holder | None, policy: OnDuplicate) -> Decision:
    """`make` the task; make it `behind` the holder, which has run; let it `replace` what the holder was to do; `return`
    the holder in its place; or `reject` it."""
    if holder is None:
        return "make"
    if policy == "return" or policy == "reject":
        return policy
    return "replace" if holder.status == "pending" and holder.fence == 0 else "behind"


def debounced(now: int, first_at: int, debounce_ms: int) -> int:
    """When a duplicate lets the task start: after another `debounce_ms`, but not later than ten times that after the
    first one. Times in ms UTC."""
    return max(min(now + debounce_ms, first_at + MOST_DEBOUNCES * debounce_ms), now)


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def key_of(args: Mapping[str, Any]) -> str:
    """The key that these args make: their JSON text with sorted names, or a digest of one that is no key. `args` have
    the types of the signature, so that `1` and `1.0`, and a default that is given or not, make one key."""
    plain = msgspec.to_builtins(dict(args), order="deterministic", str_keys=True)
    text = msgspec.json.encode(plain, order="deterministic").decode()
    return text if is_key(text) else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
