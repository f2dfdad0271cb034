"""The contracts of reads over many tasks: figures, and the statements of handlers. Errors are as in tasks.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quart_app.core.statistics import By, Counted, Figures, KindFigures


class StatisticsStore(Protocol):
    """Figures of the tasks by kind."""

    async def kind_figures(self, since: int, limit: int) -> list[KindFigures]:
        """Figures of the tasks that ended since then; at most the `limit` newest of each status count."""
        ...

    async def put_statistics(self, document: str, now: int) -> None: ...

    async def statistics(self) -> str | None:
        """The document that was put last."""
        ...

    async def count_events(self, now: int | None, limit: int) -> Counted:
        """Count the next `limit` events that were not counted before. Each is counted once, whoever calls, and whenever
        the process dies. `now` is the time of the call, or None: then `counted_until` is that of the last event."""
        ...

    async def uncounted(self) -> bool:
        """Whether there are deleted tasks with events that are not counted; their rows stay until then."""
        ...

    async def counted_until(self) -> int:
        """The time in ms up to which all events are counted; 0: nothing is."""
        ...

    async def figures(self, by: By, width: int, first: int, end: int) -> list[Figures]:
        """The rows of the buckets of this width that start at `first` or later and before `end` (ms), in order."""
        ...

    async def prune_figures(self, before: int, limit: int) -> int:
        """Delete at most `limit` buckets that ended by `before`. Returns how many."""
        ...


class ReportStore(Protocol):
    """The reads of tasks beyond their own row."""

    async def query(self, name: str, params: Mapping[str, object], owner: str | None) -> list[dict[str, Any]]:
        """The rows of a read-only statement that tasks may use, only those of `owner` (None: of all owners). Raises
        LookupError for another name, TypeError for wrong parameters, StoreUnavailable, also when it takes longer
        than a second."""
        ...

    async def gone(self, task_ids: Sequence[str]) -> list[str]:
        """Which of these tasks do not exist."""
        ...
