"""The contracts of the stores of calls that count under a limit. All times are integer milliseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from quart_app.core.limits import Hold, LimitedCall, Moment


class LimitStore(Protocol):
    """Calls of tasks to other servers that count under a limit. The caller chooses the ids, in rising order."""

    async def enter_call(self, call: int, name: str, window_ms: int) -> None:
        """Record the call as in flight."""
        ...

    async def settle_calls(
        self, answered: Mapping[int, Moment], forgotten: Sequence[int], released: Sequence[int]
    ) -> None:
        """Set the dates of answered calls, and delete calls and holds that no longer count."""
        ...

    async def recover_calls(self, now: Moment) -> list[LimitedCall]:
        """All calls, by id. Calls in flight get the date `now`, so no call may be under way."""
        ...

    async def hold(self, hold: Hold) -> None: ...

    async def holds(self) -> list[Hold]: ...


class ClientStore(Protocol):
    """Calls of clients to this server, one row for each client."""

    async def client_calls(self, owner: str, client: str) -> list[int] | None:
        """The dates of its calls, oldest first; None for an unknown client."""
        ...

    async def put_client_calls(self, owner: str, client: str, dates: Sequence[int], evict: int) -> int:
        """Store these dates (at least one), and delete the `evict` clients of the owner with the oldest last calls.
        Returns how many were deleted."""
        ...

    async def forget_clients(self, owner: str, before: int, limit: int) -> int:
        """Delete at most `limit` clients whose last call was not after `before`. Returns how many."""
        ...

    async def client_counts(self) -> dict[str, tuple[int, int]]:
        """For each owner: how many clients are known, and the date of the last call."""
        ...
