"""The methods of a context that wait without a slot, or make children."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from quart_app.clock import Clock
from quart_app.engine.flow import Flow
from quart_app.engine.kind import TaskKind
from quart_app.engine.recorder import Recorder
from quart_app.engine.services import Services


class WaitingMethods:
    _recorder: Recorder
    _services: Services
    _clock: Clock

    @cached_property
    def _flow(self) -> Flow:
        return Flow(self._recorder, self._services, self._clock)

    async def sleep(
        self, seconds: float | None = None, until: datetime.datetime | None = None, name: str | None = None
    ) -> None:
        """Wait for so many seconds, or until an aware datetime. A sleep of a second or more costs a row, no slot, and
        survives restarts: the handler is left by an exception and called again from its top at the end. The time of the
        wake-up is recorded at the first call. Raises ValueError."""
        await self._flow.sleep(seconds, until, name)

    async def spawn(
        self,
        kind: str | TaskKind[..., Any],
        args: Mapping[str, Any] | None = None,
        name: str | None = None,
        detached: bool = False,
        **options: Any,
    ) -> str:
        """Make a child task, once: a replay gets the same one. Its id. It is cancelled when this task ends in any way
        but completed, unless it is `detached`. Options as those of `enqueue_with`, but no idempotency_key. Raises
        TooDeep, TooManyChildren, UnknownKind, InvalidArgs."""
        return await self._flow.spawn(kind, args, name, detached, options)

    async def spawn_many(
        self,
        kind: str | TaskKind[..., Any],
        args: Iterable[Mapping[str, Any]],
        name: str | None = None,
        detached: bool = False,
        **options: Any,
    ) -> list[str]:
        """Make a child of the kind for each of these args, all in one transaction; their ids. As `spawn`."""
        return await self._flow.spawn_many(kind, args, name, detached, options)

    async def gather(self, ids: Iterable[str], return_exceptions: bool = False) -> list[Any]:
        """The results of these children in the order of `ids`, when all have ended; meanwhile the task holds no slot.
        Raises ChildFailed for the first that did not complete; with `return_exceptions` it stands in its place."""
        return await self._flow.gather(ids, return_exceptions)

    async def wait_signal(self, name: str, timeout: float | None = None) -> Any:
        """The data of the next signal of this name (`POST /tasks/<id>/signals/<name>`): each is taken once, the oldest
        first, also one that came before. Meanwhile the task holds no slot. Raises SignalTimeout after `timeout`
        seconds."""
        return await self._flow.wait_signal(name, timeout)
