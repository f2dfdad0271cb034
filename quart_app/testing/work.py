"""Runs tasks: those that are due, and those that become due while time passes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from quart_app.testing.lives import Lives

MOST_RUNS: Final = 100_000  # of one call


class Work:
    """One run at a time, in the order of the queues. One that takes more than a second of real time has the others wait
    no longer: it may wait for them."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._runs = 0

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Raises RuntimeError when the kit is at work already."""
        if self._lives.works:
            raise RuntimeError("the kit is running tasks already: await one call before the next")
        self._lives.works, self._runs = True, 0
        try:
            yield
        finally:
            self._lives.works = False

    async def drain(self, scheduled: bool, queue: str | None) -> int:
        with self.at_work():
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

    async def _run_due(self, queue: str | None) -> None:
        """Run what is due, and what that makes due, until nothing is."""
        while True:
            life = self._lives.now
            await life.settle()
            if len(life.running) < life.settings.concurrency and (claimed := await life.claim(queue)) is not None:
                life.start(claimed)
                self.count()
            elif not life.running:
                return
            await self.wait()

    def count(self) -> None:
        """Raises AssertionError for a run too many."""
        self._runs += 1
        if self._runs > MOST_RUNS:
            raise AssertionError(f"{MOST_RUNS} runs, and no end: does a task make the next one, or itself again?")

    async def wait(self) -> bool:
        """Until something has happened to what runs; False: it takes long. After a crash the service starts again."""
        happened = await self._lives.now.wait()
        if self._lives.now.dead:
            await self._lives.restart()
        return happened
