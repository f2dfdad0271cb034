"""The recorded steps of one task. All names are in memory; large outputs are read from the store when needed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from quart_app.clock import Clock
from quart_app.core import codec
from quart_app.core.size_budget import size_of
from quart_app.core.task import Claimed
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.store.protocols.tasks import Store

MAX_STEPS: Final = 64 * 1024 * 1024  # bytes of the steps of one task, each with its name and ROW
ROW: Final = 64
SMALL: Final = 4096  # bytes of an output that is read with its name
KEPT: Final = 1024 * 1024  # bytes of such outputs in memory
PAGE: Final = 1000  # names in one read
AT_ONCE: Final = 500  # outputs given from memory before others on the event loop have their turn


class ResultTooLarge(Exception):
    """A result or a step's output is over QUART_APP_MAX_RESULT; write a file and return its name instead."""


class StepsTooLarge(ResultTooLarge):
    """The steps of one task are too large together; write a file and record its name instead."""


class RecordedSteps:
    def __init__(self, task: Claimed, store: Store, clock: Clock, max_result: int) -> None:
        self._task = task
        self._store = store
        self._clock = clock
        self._most = max(MAX_STEPS, max_result)
        self._size = 0
        self._given = 0
        self._types: dict[str, str] = {}
        self._outputs: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        """Whether an earlier run has recorded it."""
        return name in self._types

    def type_of(self, name: str) -> str | None:
        """What an earlier run has recorded under this name; None: nothing."""
        return self._types.get(name)

    async def load(self) -> None:
        """Read the names, and the small outputs with them."""
        after, kept = "", 0
        while True:
            page = await self._page(after)
            for step in page:
                self._types[step.name] = step.type
                self._size += _cost(step.name, step.size)
                if step.output is not None and kept + step.size <= KEPT:
                    kept += step.size
                    self._outputs[step.name] = step.output
            if len(page) < PAGE:
                return
            after = page[-1].name

    async def _page(self, after: str) -> list[Any]:
        return await retry_store_call(lambda: self._store.step_names(self._task.id, after, PAGE, SMALL), self._clock)

    async def output(self, name: str) -> str:
        """The output of a recorded step, as JSON text; a run reads each output once."""
        if (kept := self._outputs.pop(name, None)) is not None:
            self._given += 1
            if self._given % AT_ONCE == 0:
                await asyncio.sleep(0)
            return kept
        found = await retry_store_call(lambda: self._store.step_output(self._task.id, name), self._clock)
        if found is None:
            raise LookupError(f"the recorded step {name!r:.100} is gone")
        return found

    def add(self, name: str, output: str) -> None:
        """Count a step that is to be recorded. Raises StepsTooLarge."""
        size = self._size + _cost(name, size_of(output))
        if size > self._most:
            raise StepsTooLarge(f"the steps of this task are over {self._most} bytes together")
        self._size = size


def _cost(name: str, size: int) -> int:
    return len(name) + size + ROW


def encode_bounded(value: Any, limit: int) -> str:
    """JSON text of at most `limit` bytes. Raises codec.NotJson or ResultTooLarge."""
    text = codec.encode(value)
    if len(text) > limit or (len(text) * 4 > limit and len(text.encode()) > limit):
        raise ResultTooLarge(f"{len(text)} characters of JSON, over the limit of {limit} bytes")
    return text
