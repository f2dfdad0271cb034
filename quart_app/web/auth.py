"""Who asks: the caller of a request, and what it may see and do."""

from __future__ import annotations

from typing import Final

import msgspec
from quart import Request

SCOPES: Final = ("read", "write", "admin")


class Caller(msgspec.Struct, frozen=True):
    """`name` is the key's name, and the owner of what the caller makes; "" where there are no keys."""

    name: str
    scopes: frozenset[str]

    @property
    def sees(self) -> str | None:
        """The owner whose tasks the caller sees; None: everybody's."""
        return None if "admin" in self.scopes else self.name


_ANYBODY: Final = Caller("", frozenset(SCOPES))


def caller(request: Request) -> Caller:
    """The caller that the guard has found out."""
    return _ANYBODY
