"""The context of handlers in the kit: that of production, with given steps and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from quart_app.core.errors import ClaimLost
from quart_app.engine.context import TaskContext
from quart_app.testing.script import Script, When


class Mortal(Protocol):
    """What a crash ends."""

    @property
    def dead(self) -> bool: ...

    def die(self, why: str) -> None:
        """Nothing is written any more. On the event loop."""


class KitContext(TaskContext):
    def __init__(self, script: Script, life: Mortal, *of_a_context: Any) -> None:
        super().__init__(*of_a_context)
        self._script = script
        self._life = life

    def _called_by_step(self, name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        script, kind = self._script, self._task.kind
        script.asks(self._task.id, kind, name)
        given = script.given.get(self._task.id)
        if not self._life.dead and script.crashes("before", name, kind):

            async def crash(*_: object, **__: object) -> NoReturn:  # a coroutine: it has to run on the event loop
                self._crash("before", name)

            return crash
        if given is not None and name in given.steps:

            async def give(*_: object, **__: object) -> Any:
                return given.steps[name]

            return give
        return fn

    async def _record(self, name: str, value: Any) -> str:
        self._crash_if("in", name)
        recorded = await super()._record(name, value)
        self._crash_if("after", name)
        return recorded

    async def flush(self) -> None:
        await super().flush()
        if not self._recorder.suspension.raised:  # else it is not its end
            self._crash_if("before", None)

    async def _write_progress_later(self, wait: float) -> None:
        await asyncio.sleep(wait)  # for people who look on: no reason to move the clock
        await super()._write_progress_later(0)

    def _crash_if(self, when: When, step: str | None) -> None:
        if not self._life.dead and self._script.crashes(when, step, self._task.kind):
            self._crash(when, step)

    def _crash(self, when: When, step: str | None) -> NoReturn:
        self._life.die(f"{when} {'end' if step is None else f'step {step}'} of {self._task.kind}")
        raise ClaimLost  # its handler ends, as it would by a cancel, and can record nothing
