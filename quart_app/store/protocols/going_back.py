"""The contract of a store for going back: running again from a step, forking, and changing a pending task. All times
are ms UTC. Each verb is one transaction, and changes nothing when it raises."""

from __future__ import annotations

from typing import Protocol

import msgspec


class NewArgs(msgspec.Struct, frozen=True):
    """`text`: checked args as JSON; `uploads`: the ids that they name."""

    text: str
    uploads: tuple[str, ...] = ()


class CancelledChildren(msgspec.Struct, frozen=True):
    """The kinds of those that were cancelled, and the ids of running ones that were asked to end."""

    kinds: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


class TaskChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of a task; None: it stays."""

    args: NewArgs | None = None
    priority: int | None = None
    run_at: int | None = None
    queue: str | None = None
    tags: tuple[str, ...] | None = None
    max_attempts: int | None = None
    timeout_ms: int | None = None


class GoingBackStore(Protocol):
    async def rerun_from(self, task_id: str, step: str | None, now: int) -> CancelledChildren:
        """Run a failed or cancelled task again without what it has recorded from `step` on; None: without anything.
        Its children made after that are cancelled. Raises TaskNotFound, WrongState, UnknownStep."""
        ...

    async def fork(
        self, task_id: str, fork_id: str, step: str | None, args: NewArgs | None, traceparent: str | None, now: int
    ) -> None:
        """Make a task like this one, with what it has recorded before `step`; None: with everything. `args` None: its
        own. Raises TaskNotFound, UnknownStep, UploadNotFound."""
        ...

    async def change(self, task_id: str, changes: TaskChanges, versions: frozenset[str] | None, now: int) -> None:
        """Change a pending task, when its version is among `versions` (None: any). Raises TaskNotFound, VersionChanged,
        WrongState, UploadNotFound."""
        ...
