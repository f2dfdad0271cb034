"""Users' code that still runs after its run has ended: a thread, or a coroutine that ignores its cancel. The next run
of its task waits for it, so that no step runs twice at the same time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from quart_app.clock import Clock

HOLD_SECONDS: Final = 3600.0  # after that the code counts as hung, and the task runs again beside it
FIRST_PAUSE_MS: Final = 1_000
LAST_PAUSE_MS: Final = 60_000


class Lingering:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, dict[asyncio.Future[Any], float]] = {}
        self._pauses: dict[str, int] = {}

    def add(self, task_id: str, code: asyncio.Future[Any]) -> None:
        """`code` is done when it has ended."""
        self._of.setdefault(task_id, {})[code] = self._clock.monotonic()
        code.add_done_callback(lambda _: self._ended(task_id, code))

    def _ended(self, task_id: str, code: asyncio.Future[Any]) -> None:
        mine = self._of[task_id]
        del mine[code]
        if not mine:
            del self._of[task_id]
            self._pauses.pop(task_id, None)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def holds(self, task_id: str) -> bool:
        """Whether the task's next run has to wait."""
        if (mine := self._of.get(task_id)) is None:
            return False
        border = self._clock.monotonic() - HOLD_SECONDS
        return any(since > border for since in mine.values())

    def pause(self, task_id: str) -> int:
        """Milliseconds until the next check, longer each time."""
        pause = self._pauses.get(task_id, FIRST_PAUSE_MS)
        self._pauses[task_id] = min(2 * pause, LAST_PAUSE_MS)
        return pause
