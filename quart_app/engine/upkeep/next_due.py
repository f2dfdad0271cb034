"""Keeps the next due time in memory, so that an idle system makes no query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class NextDue:
    """The next due time. The wall clock may step, so a caller looks at least once a second."""

    def __init__(self) -> None:
        self._next_at: int | None = 0  # 0: unknown yet

    @property
    def waits(self) -> bool:
        """Whether a due time is known, or not looked up yet."""
        return self._next_at is not None

    def due_at(self, at: int) -> bool:
        """Take note of a due time; True when it is the earliest."""
        if self._next_at is not None and at >= self._next_at:
            return False
        self._next_at = at
        return True

    async def turn(
        self, now: int, look: Callable[[int], Awaitable[int | None]], doubtful: bool = False
    ) -> float | None:
        """Call `look(now)` when something is due; it returns the next due time. Returns the seconds to the next turn,
        or None for the caller's interval. `doubtful`: the clock alone does not decide what is due."""
        if self._next_at is None:
            return None
        if self._next_at > now and not doubtful:
            return self._pause(now)
        self._next_at = None  # before the look, so that due times noted during it count
        try:
            following = await look(now)
        except BaseException:
            self.due_at(now)
            raise
        if following is not None:
            self.due_at(following)
        return self._pause(now) if doubtful or not self.waits else 0.0

    def _pause(self, now: int) -> float | None:
        return None if self._next_at is None else min(max(self._next_at - now, 0) / 1000, 1.0)
