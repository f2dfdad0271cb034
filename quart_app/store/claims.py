"""Claims the tasks that run next: the calls of claim_procedure.py, and whom their answers wake up."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import msgspec

from quart_app.core.task import Claimed
from quart_app.store.claim_procedure import claim, claim_suspects
from quart_app.store.protocols.tasks import Listener
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Answer, Call
from quart_app.store.write_calls import claimed

MAX_COUNTED: Final = 10_000  # queues whose starts are counted


class Turns(msgspec.Struct, frozen=True):
    """`slots`: tasks that may run at once. `most_of_one`: while others wait in its queue, an owner with so many running
    tasks starts none."""

    slots: int = 64
    most_of_one: int = 2**31


class Claims:
    def __init__(self, database: Database, listener: Listener, code_version: str | None, turns: Turns) -> None:
        self._db = database
        self._listener = listener
        self._started: dict[str, int] = {}  # by queue; the writer's thread counts
        self._by: dict[str, Any] = {"code_version": code_version, "started": self._started}
        self._by |= msgspec.structs.asdict(turns)

    async def claim(self, worker: str, room: Mapping[str, int], now: int, up: int | None) -> list[Claimed]:
        def after(answer: Answer) -> None:
            if len(self._started) > MAX_COUNTED:
                self._started.clear()
            self._announce(answer)
            for row in answer[0]:
                if row[0] is None:
                    _, again, held, opens = row
                    for queue in again:
                        self._listener.task_coming(queue)
                    self._listener.held_back(room.keys(), held, opens)
                    return
            self._listener.held_back(room.keys(), (), None)

        params = {**self._by, "worker": worker, "room": room, "now": now, "up": now if up is None else up}
        return self._claimed(await self._db.write([Call("claim", params=params, procedure=claim)], after=after))

    async def claim_suspects(
        self, worker: str, least: int, most: int, limit: int, now: int, up: int | None
    ) -> list[Claimed]:
        params = {**self._by, "worker": worker, "least": least, "most": most, "limit": limit}
        params |= {"now": now, "up": now if up is None else up}
        return self._claimed(
            await self._db.write(
                [Call("claim_suspects", params=params, procedure=claim_suspects)], after=self._announce
            )
        )

    def _announce(self, answer: Answer) -> None:
        for row in chain.from_iterable(answer):
            if row[0] is not None:
                self._listener.task_changed(row[0])

    def _claimed(self, answer: Answer) -> list[Claimed]:
        return [claimed(row) for row in chain.from_iterable(answer) if row[0] is not None]
