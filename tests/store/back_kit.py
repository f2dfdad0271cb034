"""A store with what goes back, and shortcuts into tasks with steps."""

from __future__ import annotations

import json
from typing import Any

from quart_app.core.task import Claimed
from quart_app.store.going_back import SqlGoingBack
from quart_app.store.protocols.going_back import NewArgs
from tests.store.flow_kit import LATER, Kit
from tests.store.kit import T, claimed, new_id

LONG = '{"url":"' + "x" * 300 + '"}'


class BackKit:
    """The store of suspensions, and that of going back on the same database."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.store, self.flow, self.sql, self.bells = kit.store, kit.flow, kit.sql, kit.bells
        self.back = SqlGoingBack(kit.store._db, kit.bells)

    async def recorded(self, *names: str, **changes: Any) -> Claimed:
        """A running task with these steps."""
        run = await claimed(self.store, **changes)
        for ordinal, name in enumerate(names, 1):
            await self.step(run, name, ordinal)
        return run

    async def step(
        self, run: Claimed, name: str, ordinal: int, at: int = T, what: str = "step", output: str = "1"
    ) -> None:
        assert await self.store.record_step(run.id, run.fence, name, output, ordinal, at, False, what)

    async def names(self, task_id: str) -> list[str]:
        return [step.name for step in await self.store.steps(task_id)]

    async def logs(self, task_id: str) -> list[Any]:
        return [json.loads(one.data or "") for one in await self.store.events(task_id, 0, 9999) if one.name == "log"]

    async def version(self, task_id: str) -> int:
        return int((await self.kit.row(task_id)).version)

    async def fork(self, task_id: str, step: str | None = None, args: NewArgs | None = None) -> str:
        fork_id = new_id(LATER)
        await self.back.fork(task_id, fork_id, step, args, None, LATER)
        return fork_id
