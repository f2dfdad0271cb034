"""Failed tasks, grouped by what went wrong."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from quart_app.core import codec

PATTERN: Final = "[0-9a-f]{16}"


def fingerprint(kind: str, error_type: str, place: str | None) -> str:
    """The name of a group of errors: those of one kind, type and place."""
    return hashlib.sha256(codec.compact([kind, error_type, place]).encode()).hexdigest()[:16]


class ErrorGroup(msgspec.Struct, frozen=True):
    """The failed tasks of one fingerprint; times in ms UTC. `message` and `task_id` are those of the newest failure.
    The field order is that of the statements `error_groups` and `error_groups_of_owner`."""

    fingerprint: str
    kind: str
    type: str
    place: str | None
    count: int
    first_seen: int
    last_seen: int
    message: str
    task_id: str
