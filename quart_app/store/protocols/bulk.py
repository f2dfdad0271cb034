"""The contract of a store for bulk tasks and for groups of errors. All times are ms UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from quart_app.core.bulk import Action, BulkSet, BulkTask
from quart_app.core.error_groups import ErrorGroup
from quart_app.core.flow import Record


class Landed(msgspec.Struct, frozen=True):
    """What has become of the tasks of one piece: the ids of those that were cancelled, and of running ones that were
    asked to end."""

    cancelled: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


class BulkStore(Protocol):
    async def ends(self) -> tuple[int, int]:
        """The lowest and the highest number of a task; 0 when there is none."""
        ...

    async def made(self, task_id: str) -> tuple[int, int]:
        """The number of a task, and that of its first event."""
        ...

    async def count(self, wanted: BulkSet, after: int, upto: int) -> int:
        """How many tasks of the set have a number above `after`, up to `upto`. Raises ReadTooLong."""
        ...

    async def find(self, wanted: BulkSet, after: int, upto: int, limit: int) -> list[BulkTask]:
        """The first `limit` of them. Raises ReadTooLong."""
        ...

    async def act(
        self,
        task_id: str,
        fence: int,
        action: Action,
        ids: Sequence[str],
        record: Record,
        now: int,
        clear_crashes: bool,
        on_landed: Callable[[Landed], None],
    ) -> Literal["landed", "lost"] | frozenset[str]:
        """Act on these tasks and record that as a step of the run, in one transaction. When the action does not apply
        to some of them any more, nothing is written, and it gives those to which it does. `lost`: the run has lost its
        claim; nothing is written. `on_landed` is called after the commit, whatever becomes of the caller."""
        ...


class ErrorGroupStore(Protocol):
    async def error_groups(self, owner: str | None, before: tuple[int, str] | None, limit: int) -> list[ErrorGroup]:
        """Groups of the failed tasks of an owner (None: of everybody), the newest first, after that of the time and
        fingerprint `before`."""
        ...

    async def has_error_group(self, owner: str | None, fingerprint: str) -> bool:
        """Whether a task of this owner (None: of anybody) has failed so."""
        ...
