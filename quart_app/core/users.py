"""The users of the examples."""

from __future__ import annotations

import msgspec


class User(msgspec.Struct, frozen=True):
    id: int
    username: str
    email: str
