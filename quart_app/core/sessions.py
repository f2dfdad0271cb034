"""A browser that is signed in with a key."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_AGE: Final = 7 * 86_400_000  # ms from the sign-in; then the key is asked for again
MOST_OF_ONE: Final = 20  # of one key: the oldest makes room
MOST: Final = 2_000


class Session(msgspec.Struct, frozen=True):
    """`hash`: SHA-256 of its token; `secret`: SHA-256 of the secret that it was opened with; both in hex. `name`: that
    of the key. Times in ms UTC. The field order is that of the statement `sessions`."""

    hash: str
    name: str
    secret: str
    created_at: int
    expires_at: int
