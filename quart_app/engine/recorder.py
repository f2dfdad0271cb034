"""What one run records under names: steps, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.errors import ClaimLost
from quart_app.core.flow import MAX_STEP_NAME, Record
from quart_app.core.task import Claimed
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.engine.steps import RecordedSteps
from quart_app.engine.suspension import Suspension
from quart_app.store.protocols.tasks import Store

MAX_WRITES: Final = 64  # writes of one run in the store's queue at once; further ones wait in the run


class Recorder:
    def __init__(self, task: Claimed, store: Store, clock: Clock, max_result: int) -> None:
        self.task = task
        self.steps = RecordedSteps(task, store, clock, max_result)
        self.suspension = Suspension()
        self.writes = asyncio.Semaphore(MAX_WRITES)
        self.on_headway: Callable[[Claimed], None] | None = None
        self._store = store
        self._clock = clock
        self._used: set[str] = set()
        self._clear_crashes = task.crashes > 0

    def use(self, name: str) -> None:
        """Raises ValueError for what is no name, and for one that this run has used; SuspensionSwallowed."""
        self.suspension.check()
        if not isinstance(name, str) or not 0 < len(name) <= MAX_STEP_NAME or codec.clean(name, MAX_STEP_NAME) != name:
            raise ValueError(f"a step's name is a text of 1 to {MAX_STEP_NAME} characters, not {name!r:.100}")
        if name in self._used:
            raise ValueError(f"the step name {name!r} is used twice in one attempt; give each step its own")
        self._used.add(name)

    def recorded(self, name: str) -> bool:
        """Whether an earlier run has recorded this step. Raises as `use`, and ValueError for what is no step."""
        self.use(name)
        found = self.steps.type_of(name)
        if found not in (None, "step"):
            raise ValueError(f"{name!r} is on record as a {found}, and now asked for as a step")
        return found is not None

    def record(self, name: str, what: str, output: str) -> Record:
        return Record(name, what, output, len(self._used))

    async def write(self, record: Record) -> None:
        """Raises ClaimLost, StepsTooLarge."""
        self.steps.add(record.name, record.output)
        await self.land(
            lambda clear: self._store.record_step(
                self.task.id,
                self.task.fence,
                record.name,
                record.output,
                record.ordinal,
                self._clock.now(),
                clear,
                record.type,
            )
        )

    async def land(self, write: Callable[[bool], Awaitable[bool]]) -> None:
        """Make a write that is headway. It is told whether it clears the crashes of earlier runs, and says whether it
        has landed. Raises ClaimLost."""
        clear = self._clear_crashes
        async with self.writes:
            if not await retry_store_call(lambda: write(clear), self._clock):
                raise ClaimLost
        if clear and self._clear_crashes:
            self._clear_crashes = False
            if self.on_headway is not None:
                self.on_headway(self.task)
