"""Slots: claims what is ready when a slot is free, and hands each claimed task to `spawn` (add_background_task).

Pending work costs a row, not memory: only tasks that hold a slot are coroutines. The dispatcher sleeps until a doorbell
rings (a committed task, a freed slot, the poller); each ring names the queue worth a look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreUnavailable
from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import Claimed
from quart_app.runner.runner import Runner
from quart_app.store.base import Store

log = logging.getLogger("quart_app.runner")

Spawn = Callable[..., None]

MAX_READY: Final = 1000  # queues in the rotation, before those with nothing to claim any more are forgotten


class Dispatcher:
    def __init__(
        self, store: Store, runner: Runner, clock: Clock, spawn: Spawn, concurrency: int, shares: Mapping[str, int]
    ) -> None:
        """`shares`: the most slots that a queue may hold at once; a queue not named may hold all."""
        self._store = store
        self._runner = runner
        self._clock = clock
        self._spawn = spawn
        self._concurrency = concurrency
        self._shares = shares
        self._held: dict[str, int] = {}
        # Queues worth a look, in turn. True: also when a claim that is under way comes back with room to spare.
        self._ready: dict[str, bool] = {}
        self._many = MAX_READY
        self._suspects = False
        self._suspect_runs = False
        self._bell = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        runner.on_free = self._freed

    @property
    def running(self) -> int:
        return len(self._runner.runs)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="dispatcher")

    def halt(self) -> None:
        """Claim nothing more. What runs already goes on; a claim that is under way is given back."""
        self._stopped = True
        self._bell.set()

    async def stop(self) -> None:
        """`halt`, and wait until the last claim is settled."""
        self.halt()
        if self._task is not None:
            await asyncio.wait([self._task])

    def ring(self, queue: str, suspect: bool = False) -> None:
        """There is something to claim."""
        if suspect:
            self._suspects = True
        else:
            self._ready.setdefault(queue, False)
        self._bell.set()

    def expect(self, queue: str) -> None:
        """A task is on its way to the store. A claim that is asked for now goes with it in one transaction, and the
        task runs a commit sooner (measured: a tenth less from request to end on an idle system)."""
        self._ready[queue] = True
        self._bell.set()

    def _freed(self, task: Claimed) -> None:
        self._held[task.queue] -= 1
        if not self._held[task.queue]:
            del self._held[task.queue]
        if task.crashes >= SUSPECT_CRASHES:
            self._suspect_runs = False
        self._bell.set()

    async def _run(self) -> None:
        while not self._stopped:
            await self._bell.wait()
            self._bell.clear()
            try:
                if len(self._ready) > self._many:
                    await self._forget()
                await self._claim_suspect()
                while not self._stopped and (queue := self._next()) is not None:
                    await self._claim(queue)
            except StoreUnavailable as error:
                log.warning("cannot claim: %s", error)
                self._bell.set()
                await self._clock.sleep(0.5)
            except Exception:
                log.exception("the dispatcher failed and goes on")
                self._bell.set()
                await self._clock.sleep(0.5)

    async def _forget(self) -> None:
        """While every slot is taken nobody looks at the queues, and clients may name as many as they like: drop those
        whose tasks are gone. Whoever is only expected rings when it has come."""
        before, self._ready = self._ready, {}
        live: Set[str] = before.keys()
        try:
            live = {count.queue for count in await self._store.counts() if count.ready}
        finally:
            self._ready = {queue: again for queue, again in before.items() if queue in live} | self._ready
        self._many = max(MAX_READY, 2 * len(self._ready))

    def _next(self) -> str | None:
        """The next queue that is worth a look and has room, in rotation."""
        if self.running >= self._concurrency:
            return None
        return next((queue for queue in self._ready if self._room(queue) > 0), None)

    def _room(self, queue: str) -> int:
        free = self._concurrency - self.running
        return min(free, self._shares.get(queue, self._concurrency) - self._held.get(queue, 0))

    async def _claim(self, queue: str) -> None:
        room = self._room(queue)
        del self._ready[queue]  # before the claim: whoever rings during it puts the queue back, at the end of the line
        try:
            claimed = await self._store.claim(queue, room, self._clock.now())
        except BaseException:
            self._ready[queue] = True
            raise
        if len(claimed) == room:
            self._ready[queue] = True
        elif self._ready.get(queue) is False:
            # The store answers in the order of its commits: who rang by now was committed when this claim found no
            # more. Whoever is only expected comes after it.
            del self._ready[queue]
        await self._start(claimed)

    async def _claim_suspect(self) -> None:
        if not self._suspects or self._suspect_runs or self._stopped or self.running >= self._concurrency:
            return
        self._suspects = False  # before the claim, so that a ring during it is heard
        claimed = await self._store.claim_suspect(self._clock.now())
        if claimed:
            self._suspects = self._suspect_runs = True
            await self._start(claimed)

    async def _start(self, claimed: list[Claimed]) -> None:
        if self._stopped:  # the stop came while the claim was on its way
            for task in claimed:
                await self._store.release(task.id, task.fence, task.queue, self._clock.now())
            return
        for task in claimed:
            self._held[task.queue] = self._held.get(task.queue, 0) + 1
            self._spawn(self._runner.run, self._runner.prepare(task))
