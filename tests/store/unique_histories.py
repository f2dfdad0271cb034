"""Random histories of tasks with unique keys on the real store, beside a model of some thirty lines.

The model knows for each key its newest task that has not ended, and the one ahead of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal

import msgspec

from quart_app.core.errors import DuplicateTask
from quart_app.core.task import Claimed, Enqueued, NewTask
from quart_app.store.audit import audit
from quart_app.store.protocols.tasks import Store
from tests.store.kit import ERROR, T, new_task

KEYS = ("a", "b")
POLICIES = ("return", "reject", "replace", "debounce")
Status = Literal["pending", "processing", "ended"]


class Known(msgspec.Struct):
    """What the model knows of a task."""

    id: str
    key: str
    args: str
    run_at: int
    first_at: int
    status: Status = "pending"
    ran: bool = False
    failed: bool = False  # it may be run again


class History:
    def __init__(self, store: Store, path: Path, seed: int) -> None:
        self.store = store
        self.path = path
        self.dice = random.Random(seed)
        self.now = T
        self.tasks: dict[str, Known] = {}
        self.living: dict[str, list[Known]] = {key: [] for key in KEYS}  # the newest last
        self.runs: dict[str, Claimed] = {}
        self.count = 0

    async def step(self) -> None:
        self.now += self.dice.choice((0, 1, 200, 2000))
        verbs = (self.create, self.create, self.batch, self.claim, self.end, self.cancel, self.rerun)
        await self.dice.choice(verbs)()
        await self.check()

    # --- verbs

    def request(self) -> NewTask:
        self.count += 1
        policy: Any = self.dice.choice(POLICIES)
        given: dict[str, Any] = {"unique_key": self.dice.choice(KEYS), "on_duplicate": policy}
        given["args"] = f'{{"n":{self.count}{" " * 300 * self.dice.randrange(2)}}}'
        wait = self.dice.choice((0, 0, 500, 6000))
        if policy == "debounce":
            wait = self.dice.choice((300, 4000))
            given |= {"debounce_ms": wait}
        return new_task(self.now, delay=wait, delay_ms=wait or None, **given)

    def expected(self, task: NewTask) -> Enqueued | None:
        """What the contract says of the request, which the model takes over; None: it is refused."""
        assert task.unique_key is not None
        living = self.living[task.unique_key]
        newest = living[-1] if living else None
        if newest is None or (task.on_duplicate in ("replace", "debounce") and newest.ran):
            made = Known(task.id, task.unique_key, task.args, task.run_at, self.now)
            self.tasks[task.id] = made
            living.append(made)
            return Enqueued(task.id, "pending")
        if task.on_duplicate == "reject":
            return None
        if task.on_duplicate in ("replace", "debounce"):
            newest.args, newest.run_at = task.args, task.run_at
            if task.debounce_ms is not None:
                newest.run_at = max(self.now, min(task.run_at, newest.first_at + 10 * task.debounce_ms))
        return Enqueued(newest.id, newest.status, duplicate=True)  # type: ignore[arg-type]

    async def create(self) -> None:
        task = self.request()
        wanted = self.expected(task)
        try:
            (found,) = await self.store.enqueue([task])
        except DuplicateTask as refused:
            assert wanted is None
            assert task.unique_key is not None
            assert refused.task_id == self.living[task.unique_key][-1].id
        else:
            assert found == wanted

    async def batch(self) -> None:
        saved = msgspec.json.encode(self.tasks)
        tasks = [self.request() for _ in range(self.dice.randint(2, 5))]
        wanted = [self.expected(task) for task in tasks]
        try:
            assert await self.store.enqueue(tasks) == wanted
        except DuplicateTask as refused:
            assert refused.index == wanted.index(None)
            self.tasks = msgspec.json.decode(saved, type=dict[str, Known])
            self.living = {key: [] for key in KEYS}
            for known in self.tasks.values():
                if known.status != "ended":
                    self.living[known.key].append(known)
            for living in self.living.values():
                living.sort(key=lambda known: not known.ran)  # the one behind last

    async def claim(self) -> None:
        await self.store.make_ready(self.now, 100)
        for claim in await self.store.claim({"default": self.dice.randint(1, 3)}, self.now):
            known = self.tasks[claim.id]
            assert known.status == "pending"
            assert known is self.living[known.key][0], "one behind has to wait"
            assert known.run_at <= self.now
            assert claim.args == known.args
            known.status, known.ran = "processing", True
            self.runs[claim.id] = claim

    async def end(self) -> None:
        if not self.runs:
            return
        task_id, run = self.dice.choice(list(self.runs.items()))
        del self.runs[task_id]
        known = self.tasks[task_id]
        match self.dice.randrange(5):
            case 0:
                assert await self.store.complete(task_id, run.fence, '"done"', self.now)
                self.ended(known, failed=False)
            case 1:
                assert await self.store.fail(task_id, run.fence, ERROR, self.now)
                self.ended(known, failed=True)
            case 2:
                known.status, known.run_at = "pending", self.now + 100
                assert await self.store.retry(task_id, run.fence, ERROR, known.run_at, self.now)
            case 3:
                known.status, known.run_at = "pending", self.now
                assert await self.store.crash(task_id, run.fence, self.now, self.now)
            case _:
                known.status, known.run_at = "pending", min(known.run_at, self.now)
                assert await self.store.release(task_id, run.fence, "default", self.now)

    async def cancel(self) -> None:
        pending = [known for known in self.tasks.values() if known.status == "pending"]
        if pending:
            known = self.dice.choice(pending)
            assert await self.store.cancel(known.id, self.now) == "cancelled"
            self.ended(known, failed=True)

    async def rerun(self) -> None:
        over = [known for known in self.tasks.values() if known.failed]
        if not over:
            return
        known = self.dice.choice(over)
        living = self.living[known.key]
        try:
            assert await self.store.rerun(known.id, False, self.now)
        except DuplicateTask as refused:
            assert refused.task_id == living[-1].id
        else:
            assert not living
            known.status, known.failed, known.run_at, known.first_at = "pending", False, self.now, self.now
            living.append(known)

    def ended(self, known: Known, failed: bool) -> None:
        self.living[known.key].remove(known)
        known.status, known.failed = "ended", failed

    # --- what must be true at every moment

    async def check(self) -> None:
        for key, living in self.living.items():
            assert len(living) <= 2, key
            assert [known.ran for known in living] in ([], [False], [True], [True, False])
        for known in self.tasks.values():
            task = await self.store.get(known.id)
            assert task is not None
            assert (task.ended, task.unique_key, task.args) == (known.status == "ended", known.key, known.args)
            if not task.ended:
                assert task.status == known.status
                behind = known is not self.living[known.key][0]
                assert (task.waiting_for == "unique_key") is behind
            if task.status == "pending" and not known.ran:
                assert task.run_at == known.run_at
        assert audit(self.path).findings == []
