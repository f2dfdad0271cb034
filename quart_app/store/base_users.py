"""What a store knows of the people of the examples."""

from __future__ import annotations

from typing import Protocol

from quart_app.core.users import User


class UserStore(Protocol):
    """The people of the examples; nobody changes them."""

    async def users(self, after: int, limit: int) -> list[User]:
        """The first `limit` of those with an id above `after`, by id."""
        ...

    async def user(self, user_id: int) -> User | None: ...
