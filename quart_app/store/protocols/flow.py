"""The contract of a store for what suspends a task (sleeping, children, signals) and what it emits. All times are ms
UTC.

A suspension gives the attempt back, clears the crashes and frees the claim. Each write of a run names its fence; when
the run no longer holds the task the write changes nothing and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from quart_app.core.flow import ChildOutcome, ForChildren, ForSignal, Record, Sleeping, WaitingTask
from quart_app.core.task import NewTask
from quart_app.store.protocols.tasks import EndAnswer

SignalAnswer = Literal["sent", "replayed", "conflict", "ended", "full", "unknown"]


class Settled(msgspec.Struct, frozen=True):
    """What is on record of a wait: `wait` (no signal yet), `signal` and its data, or `timeout`."""

    type: str
    output: str


class FlowStore(Protocol):
    async def sleep(self, task_id: str, fence: int, wait: Sleeping, now: int) -> EndAnswer:
        """Record the sleep, unless it is on record, and suspend the task until it is over."""
        ...

    async def wait_for_children(self, task_id: str, fence: int, wait: ForChildren, now: int) -> EndAnswer:
        """Suspend the task until those of these children that have not ended have; it is ready at once when all
        have."""
        ...

    async def wait_for_signal(self, task_id: str, fence: int, wait: ForSignal, now: int) -> EndAnswer:
        """Suspend the task until a signal of the name is there; when one is, it is taken and the task ready at once."""
        ...

    async def spawn(
        self,
        task_id: str,
        fence: int,
        record: Record,
        children: Sequence[NewTask],
        detached: bool,
        now: int,
        clear_crashes: bool,
    ) -> bool:
        """Make the children and record them, in one transaction. False: the run no longer holds the task."""
        ...

    async def outcomes(self, task_id: str, ids: Sequence[str]) -> list[ChildOutcome]:
        """How these children of the task ended, in their order; status `deleted` for a task that is gone, `stranger`
        for a task that is no child of this one."""
        ...

    async def count_children(self, task_id: str) -> int: ...

    async def has_signal(self, task_id: str, name: str) -> bool:
        """Whether a signal of this name waits to be taken."""
        ...

    async def take_signal(
        self, task_id: str, fence: int, record: Record, name: str, now: int, over: bool, clear_crashes: bool
    ) -> Settled | None:
        """Give the oldest signal of the name to the wait `record`; `over`: without one, the wait has timed out. What is
        on record then. None: the run no longer holds the task."""
        ...

    async def put_signal(
        self, task_id: str, name: str, data: str, dedupe: str | None, now: int, queue: str | None = None
    ) -> SignalAnswer:
        """Keep a signal for a task, or give it to its wait. `replayed`: it came before under this key; `conflict`:
        another one did; `full`: there are MAX_SIGNALS that no wait has taken. `queue`: that of the task, when it seems
        to wait for this signal."""
        ...

    async def waiting(self, owner: str | None, since: int, seq: int, limit: int) -> list[WaitingTask]:
        """Tasks that wait for a signal, the oldest first, after (since, seq)."""
        ...

    async def emit(self, task_id: str, fence: int, outputs: Sequence[str], now: int) -> bool:
        """Add an event `output` for each of these JSON texts (one at least), in their order and in one transaction.
        False: the run no longer holds the task."""
        ...

    async def suspended(self) -> dict[str, int]:
        """How many tasks wait, by cause: time, children, signal."""
        ...

    async def settle_parents(self, now: int, limit: int) -> tuple[int, list[str], list[str]]:
        """One bite of what the ends of parents mean for their children: cancel those that have not ended where the
        parent was not completed, and let retention have them. How many rows it concerned, the kinds of the tasks that
        were cancelled, and the ids of those that were asked to end."""
        ...
