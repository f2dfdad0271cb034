"""The contract of the store of sessions. Errors are as in tasks.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quart_app.core.sessions import Session


class SessionStore(Protocol):
    async def put_session(self, session: Session) -> bool:
        """False when its key is revoked."""
        ...

    async def end_sessions(self, hashes: Sequence[str]) -> None: ...

    async def sessions(self) -> list[Session]:
        """All of them, the oldest first."""
        ...
