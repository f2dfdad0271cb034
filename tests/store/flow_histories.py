"""Random histories of families and signals on a real store, and what must hold after each write of them.

A history is a number: the order of everything that parents, children, people and crashes do. Two writes often go into
one transaction, as they do in a server. At the end everybody gets what he needs, and every parent must be able to end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

from quart_app.core.flow import ForChildren, ForSignal, Record, Sleeping
from quart_app.core.task import Claimed, StepName
from quart_app.store.flow import SqlFlow
from quart_app.store.tasks import SqlStore
from tests.store.kit import ERROR, Sql, T, new_task
from tests.store.soundness import assert_sound

STEPS = 40
SIGNALS = 3  # that a parent waits for


class History:
    def __init__(self, store: SqlStore, flow: SqlFlow, sql: Sql, number: int) -> None:
        self.store = store
        self.flow = flow
        self.sql = sql
        self.dice = random.Random(number)
        self.now = T
        self.parent = ""
        self.children: list[str] = []
        self.runs: dict[str, Claimed] = {}
        self.sent = 0
        self.waits = self.dice.sample([self.take_signals, self.gather], k=2)

    async def play(self) -> list[str]:
        """The signals that the parent has taken, in order. Raises AssertionError when a wake-up is lost."""
        (made,) = await self.store.enqueue([new_task(self.now)])
        self.parent = made.id
        for _ in range(STEPS):
            actions = self.dice.sample(self.possible(), k=min(2, len(self.possible())))
            if self.dice.random() < 0.5:
                for action in actions:
                    await action()
            else:
                await asyncio.gather(*(action() for action in actions))
            self.now += 1
            assert_sound(self.sql)
        await self.finish()
        return [
            output
            for (output,) in self.sql(
                "SELECT s.output FROM steps s JOIN tasks t ON t.seq = s.task WHERE t.id = ? AND s.type = 'signal'"
                " ORDER BY s.name",
                self.parent,
            )
        ]

    def possible(self) -> list[Callable[[], Awaitable[object]]]:
        found: list[Callable[[], Awaitable[object]]] = [self.claim, self.claim, self.look, self.settle]
        if self.sent < SIGNALS and self.dice.random() < 0.2:
            found.append(self.signal)
        for task_id, run in self.runs.items():
            if task_id == self.parent:
                found += [lambda run=run: self.go_on(run), lambda run=run: self.crash(run)]  # type: ignore[misc]
            else:
                found.append(lambda run=run: self.end(run))  # type: ignore[misc]
        for child in self.children:
            found += [lambda child=child: self.store.cancel(child, self.now)] * (self.dice.random() < 0.2)  # type: ignore[misc]
            found += [lambda child=child: self.store.rerun(child, False, self.now)] * (self.dice.random() < 0.1)  # type: ignore[misc]
        return found

    async def claim(self) -> None:
        found = await self.store.claim({"default": self.dice.randint(1, 3)}, self.now)
        for run in [*found, *await self.store.claim_suspects(2, 1000, 1, self.now)]:
            self.runs[run.id] = run

    async def look(self) -> None:
        await self.store.make_ready(self.now, 9)

    async def settle(self) -> None:
        await self.flow.settle_parents(self.now, 2)

    async def signal(self) -> None:
        self.sent += 1
        assert await self.flow.put_signal(self.parent, "go", str(self.sent), None, self.now) == "sent"

    async def crash(self, run: Claimed) -> None:
        if self.runs.pop(run.id, None) is not None:
            await self.store.crash(run.id, run.fence, None, self.now)

    async def end(self, run: Claimed) -> None:
        if self.runs.pop(run.id, None) is None:
            return
        end = self.dice.random()
        if end < 0.5:
            await self.store.complete(run.id, run.fence, "1", self.now)
        elif end < 0.8:
            await self.store.fail(run.id, run.fence, ERROR, self.now)
        else:
            await self.store.crash(run.id, run.fence, None, self.now)

    async def go_on(self, run: Claimed) -> None:
        """What the parent's handler does: children, a sleep, as many signals as there are, the children's end."""
        if self.runs.pop(run.id, None) is None:
            return
        recorded = {step.name: step for step in await self.store.step_names(run.id, "", 99, 4096)}
        if "spawn_many-1" not in recorded:
            children = [new_task(self.now) for _ in range(self.dice.randint(1, 4))]
            record = Record("spawn_many-1", "children", str(len(children)), 1)
            if await self.flow.spawn(run.id, run.fence, record, children, False, self.now, False):
                self.children = [child.id for child in children]
        if "sleep-1" not in recorded:
            await self.flow.sleep(
                run.id, run.fence, Sleeping(Record("sleep-1", "sleep", str(self.now + 3), 2), self.now + 3, 3), self.now
            )
            return
        first, second = self.waits
        if await first(run, recorded) and await second(run, recorded):
            await self.store.complete(run.id, run.fence, "1", self.now)

    async def take_signals(self, run: Claimed, recorded: Mapping[str, StepName]) -> bool:
        """False: the task waits."""
        for n in range(1, SIGNALS + 1):
            name = f"signal:go-{n}"
            if name in recorded and recorded[name].type == "signal":
                continue
            record = Record(name, "wait", "null", 2 + n)
            there = await self.flow.has_signal(run.id, "go")
            await self.meanwhile()
            if there:
                taken = await self.flow.take_signal(run.id, run.fence, record, "go", self.now, False, False)
                if taken is None or taken.type == "signal":
                    continue
            await self.flow.wait_for_signal(run.id, run.fence, ForSignal(record, "go"), self.now)
            return False
        return True

    async def gather(self, run: Claimed, _: Mapping[str, StepName]) -> bool:
        """False: the task waits."""
        outcomes = await self.flow.outcomes(run.id, self.children)
        await self.meanwhile()
        if all(one.status in ("completed", "failed", "cancelled") for one in outcomes):
            return True
        await self.flow.wait_for_children(run.id, run.fence, ForChildren(tuple(self.children)), self.now)
        return False

    async def meanwhile(self) -> None:
        """Something happens between what a run has read and what it writes then."""
        if self.dice.random() < 0.5 and (runs := [run for task, run in self.runs.items() if task != self.parent]):
            await self.end(self.dice.choice(runs))
        elif self.sent < SIGNALS and self.dice.random() < 0.3:
            await self.signal()

    async def finish(self) -> None:
        """Nobody disturbs any more: the parent must come to its end."""
        for _ in range(200):
            self.now += 10
            if self.sent < SIGNALS and self.dice.random() < 0.3:
                await self.signal()
            await self.look()
            await self.claim()
            for run in list(self.runs.values()):
                await (self.go_on(run) if run.id == self.parent else self.end_well(run))
            assert_sound(self.sql)
            ((status,),) = self.sql("SELECT status FROM tasks WHERE id = ?", self.parent)
            if status == "completed":
                return
        raise AssertionError(
            f"the parent never ends; it is {self.sql('SELECT * FROM tasks WHERE id = ?', self.parent)}"
        )

    async def end_well(self, run: Claimed) -> None:
        del self.runs[run.id]
        if not await self.store.complete(run.id, run.fence, "1", self.now):
            await self.store.end_cancelled(run.id, run.fence, self.now)
