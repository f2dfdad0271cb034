"""Several hands at one task at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quart_app.core.task import TaskError
from quart_app.store.protocols.tasks import EndAnswer
from tests.model.base import Base


class Racing(Base):
    def race(self, pick: int = 0, turn: tuple[str, ...] = ("complete", "fail")) -> None:
        """Several hands write under one fence at the same moment: the first wins, the others change nothing."""
        puppet = self.some_puppet(pick)
        life, (task_id, fence) = self.life_of(puppet), (puppet.claimed.id, puppet.claimed.fence)
        store, now = self.store, self.now
        writes: dict[str, Callable[[], Awaitable[bool | EndAnswer]]] = {
            "complete": lambda: store.complete(task_id, fence, "7", now),
            "fail": lambda: store.fail(task_id, fence, TaskError("Race", "x"), now),
            "release": lambda: store.release(task_id, fence, puppet.claimed.queue, now),
            "end_cancelled": lambda: store.end_cancelled(task_id, fence, now),
            "crash": lambda: store.crash(task_id, fence, None, now),
        }

        async def together() -> list[bool | EndAnswer]:
            return await asyncio.gather(*(writes[name]() for name in turn))

        landed = self.do(together())
        assert list(map(bool, landed)) == [life is not None] + [False] * (len(turn) - 1)
        if life is not None and life.cancel_asked and turn[0] != "complete":
            life.end("cancelled", now)
        elif life is not None:
            match turn[0]:
                case "complete":
                    life.complete(7, now)
                case "fail":
                    life.end("failed", now, "Race")
                case "release":
                    life.give_back(ready=True)
                case "end_cancelled":
                    life.end("cancelled", now)
                case "crash":
                    due = life.run_at
                    life.crash(now)
                    life.ready, life.run_at = True, due  # no pause was asked for
        self.world.tell(puppet, "return", 8)  # the run itself comes too late
        assert puppet.ended
