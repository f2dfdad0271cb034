"""The contract of what is read over many tasks: figures, and what handlers may ask; see base.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quart_app.core.statistics import KindFigures


class StatisticsStore(Protocol):
    """Figures of the tasks by kind."""

    async def kind_figures(self, since: int, limit: int) -> list[KindFigures]:
        """Of the tasks that ended since then, at most the `limit` newest of each status."""
        ...

    async def put_statistics(self, document: str, now: int) -> None: ...

    async def statistics(self) -> str | None:
        """What was put last."""
        ...


class ReportStore(Protocol):
    """What tasks may read beyond their own row."""

    async def query(self, name: str, params: Mapping[str, object], owner: str | None) -> list[dict[str, Any]]:
        """The rows of a read-only statement that is open to tasks, those of `owner` alone (None: everybody's).
        Raises LookupError for another name, TypeError for other parameters than it takes, StoreUnavailable, also
        when it takes longer than a second."""
        ...

    async def gone(self, task_ids: Sequence[str]) -> list[str]:
        """Those of which there is no task."""
        ...
