"""One claimed task in this process, and what interrupts its handler."""

from __future__ import annotations

import asyncio

from quart_app.core.lifecycle import Outcome
from quart_app.core.task import Claimed
from quart_app.engine.context import TaskContext
from quart_app.engine.stacks import Place


class Run:
    """One claimed task in this process. `interrupt` ends the handler for a reason. The first reason wins, except that a
    cancel replaces a timeout. After the handler's own end no reason counts."""

    __slots__ = (
        "_timer",
        "context",
        "has_slot",
        "in_thread",
        "inner",
        "notes",
        "noting",
        "reason",
        "task",
        "verdict",
    )

    def __init__(self, task: Claimed) -> None:
        self.task = task
        self.reason = ""
        self.has_slot = True
        self.in_thread = False
        """Whether its handler runs in a thread now, which cannot be cancelled."""
        self.context: TaskContext | None = None
        self.inner: asyncio.Task[Outcome | None] | None = None
        self.notes: list[tuple[str, list[Place]]] | None = None
        """Where the handler was when something was wrong, not yet written."""
        self.noting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def interrupt(self, reason: str) -> None:
        if self.verdict.done() or (self.inner is not None and self.inner.done()):
            if reason == "cancel" and self.reason == "timeout":
                self.reason = reason  # the cancel was promised, and a timeout would only be retried
            return
        self.reason = reason
        if self.context is not None:
            self.context.cancelled = True
        self.verdict.set_result(None)

    def arm(self) -> None:
        """Start the time limit. It uses the monotonic clock, because a step of the wall clock must not end a run."""
        self._timer = asyncio.get_running_loop().call_later(
            min(self.task.timeout_ms / 1000, 10**7), self.interrupt, "timeout"
        )

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def ended(self, _inner: object) -> None:
        if not self.verdict.done():
            self.verdict.set_result(None)
