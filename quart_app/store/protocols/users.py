"""The contract of the store of the users of the examples."""

from __future__ import annotations

from typing import Protocol

from quart_app.core.users import User


class UserStore(Protocol):
    """The users of the examples. They are read only."""

    async def users(self, after: int, limit: int) -> list[User]:
        """The first `limit` users with an id above `after`, by id."""
        ...

    async def user(self, user_id: int) -> User | None: ...
