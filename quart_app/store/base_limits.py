"""The contract of the stores of what counts under a limit. All times are integer milliseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from quart_app.core.limits import Hold, LimitedCall, Moment


class LimitStore(Protocol):
    """Calls of tasks to others that count under a limit. Ids are the caller's own and rise."""

    async def enter_call(self, call: int, name: str, window_ms: int) -> None:
        """From now on the call is in flight."""
        ...

    async def settle_calls(
        self, answered: Mapping[int, Moment], forgotten: Sequence[int], released: Sequence[int]
    ) -> None:
        """Date calls, and delete calls and holds that count no more."""
        ...

    async def recover_calls(self, now: Moment) -> list[LimitedCall]:
        """All calls, by id. Those that are in flight are dated `now`; so nobody may be calling."""
        ...

    async def hold(self, hold: Hold) -> None: ...

    async def holds(self) -> list[Hold]: ...


class ClientStore(Protocol):
    """Calls of clients to us, one row a client."""

    async def client_calls(self, owner: str, client: str) -> list[int] | None:
        """Dates, oldest first; None when nothing is known of this client."""
        ...

    async def put_client_calls(self, owner: str, client: str, dates: Sequence[int], evict: int) -> int:
        """Keep these dates (at least one), and forget the `evict` clients of the owner that were silent for longest.
        How many were forgotten."""
        ...

    async def forget_clients(self, owner: str, before: int, limit: int) -> int:
        """Delete clients whose last call was not after `before`, at most `limit`. How many."""
        ...

    async def client_counts(self) -> dict[str, tuple[int, int]]:
        """How many clients are known of each owner, and when the last of them called."""
        ...
