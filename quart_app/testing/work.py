"""Runs tasks: those that are due, and those that become due while time passes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from quart_app.core.errors import StoreUnavailable
from quart_app.core.task import Claimed
from quart_app.testing.life import Life
from quart_app.testing.lives import Lives

MOST: Final = 10_000  # runs of one call, of `advance` at one moment


class Work:
    """One run at a time, in the order of the queues. One that takes more than a second of real time has the others wait
    no longer: it may wait for them."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._runs = self._left = 0

    @contextlib.contextmanager
    def at_work(self, most: int = MOST) -> Iterator[None]:
        """Around what runs at most so many tasks. Raises RuntimeError when the kit is at work already."""
        if self._lives.works:
            raise RuntimeError("the kit is running tasks already: await one call before the next")
        self._lives.works, self._runs, self._left = True, 0, most
        try:
            yield
        finally:
            self._lives.works = False

    async def drain(self, scheduled: bool, queue: str | None, most: int) -> int:
        with self.at_work(most):
            await self._run_due(queue)
            while scheduled and (goal := await self._lives.now.next_start(queue)) is not None:
                # What becomes due before it does so in its turn.
                step = await self._lives.now.next_moment(schedules=False)
                self._lives.clock.pass_until(goal if step is None else min(goal, step))
                await self._run_due(queue)
            return self._runs

    async def advance(self, ms: int) -> int:
        clock = self._lives.clock
        until = clock.now() + ms
        with self.at_work():
            while True:
                await self._lives.now.fire_schedules()
                await self._run_due(None)
                step = await self._lives.now.next_moment(schedules=True)
                if step is None or step > until:
                    clock.pass_until(until)
                    return self._runs
                clock.pass_until(step)
                self._left = MOST

    async def _run_due(self, queue: str | None) -> None:
        """Run what is due, and what that makes due, until nothing is."""
        while True:
            life = self._lives.now
            with self.unless_dead(life):
                await life.settle()
                claimed = await life.claim(queue) if len(life.running) < life.settings.concurrency else None
                if claimed is not None:
                    self.start(life, claimed)
                elif not life.running:
                    return
            await self.wait()

    @contextlib.contextmanager
    def unless_dead(self, life: Life) -> Iterator[None]:
        """Around what is done to the store while something runs, which may crash meanwhile."""
        try:
            yield
        except StoreUnavailable:
            if not life.dead:
                raise

    def start(self, life: Life, task: Claimed) -> None:
        """Raises AssertionError for a run too many."""
        if not self._left:
            raise AssertionError(
                f"{self._runs} runs, and no end: does a task make the next one, or itself again? {task.kind} is next"
            )
        self._runs, self._left = self._runs + 1, self._left - 1
        life.start(task)

    async def wait(self) -> bool:
        """Until something has happened to what runs; False: it takes long. After a crash the service starts again."""
        happened = await self._lives.now.wait()
        if self._lives.now.dead:
            await self._lives.restart()
        return happened
