"""Slots: claims what is ready when a slot is free, and hands each claimed task to `spawn` (add_background_task).

Pending work costs a row, not memory: only tasks that hold a slot are coroutines. The dispatcher sleeps until a doorbell
rings (a committed task, a freed slot, the poller); each ring names the queue worth a look.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from collections.abc import Callable, Mapping, Set
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreUnavailable
from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import CPU_QUEUE, Claimed
from quart_app.runner.insist import insist
from quart_app.runner.runner import Runner
from quart_app.runner.suspects import SuspectSeats
from quart_app.store.base import Store

log = logging.getLogger("quart_app.runner")

Spawn = Callable[..., None]

MAX_READY: Final = 1000  # queues in the rotation, before those with nothing to claim any more are forgotten
MAX_QUEUES: Final = 64  # in one claim
WAITING_CHILDREN: Final = 2  # process tasks that hold a slot while they wait for a child: so the next is at hand
QUARTERS: Final = ("audit", "cat-facts", "cat-facts-limited")  # visitors, calls of others: a quarter of the slots each
LATE_MS: Final = 5_000  # a task that is due for longer, in a queue with room, was forgotten


def shares(concurrency: int, cpu_slots: int) -> dict[str, int]:
    """The most slots that these queues may hold at once."""
    quarters = dict.fromkeys(QUARTERS, max(concurrency // 4, 1))
    return {**quarters, "reports": cpu_slots, CPU_QUEUE: cpu_slots + WAITING_CHILDREN}


class Dispatcher:
    def __init__(
        self,
        store: Store,
        runner: Runner,
        clock: Clock,
        spawn: Spawn,
        concurrency: int,
        shares: Mapping[str, int],
        max_crashes: int,
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
        self._asked: Set[str] = frozenset()  # queues of the claim that is under way
        self._many = MAX_READY
        self._suspects = False  # there may be some to claim
        self._seats = SuspectSeats(concurrency, max_crashes, self._look_for_suspects)
        self._bell = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        runner.on_free = self._freed
        runner.on_headway = self._seats.free

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
        self._seats.close()

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

    async def look(self, now: int) -> None:
        """Ring for what waits although there is room, in case that nobody did: losing a bell may cost seconds, never a
        task."""
        if self.running >= self._concurrency or not (waiting := await self._store.ready_queues(MAX_READY)):
            return
        self._look_for_suspects()  # the counts do not tell them from the others
        known = self._ready.keys() | self._asked
        silent = [queue for queue in waiting if queue not in known and self._room(queue) > 0]
        if not silent:
            return
        for queue, due in (await self._store.oldest(silent)).items():
            if now - due > LATE_MS:
                log.warning("queue %s had work for %.0f s, and nobody was told", queue, (now - due) / 1000)
            self.ring(queue)

    def _freed(self, task: Claimed) -> None:
        self._held[task.queue] -= 1
        if not self._held[task.queue]:
            del self._held[task.queue]
        if task.crashes >= SUSPECT_CRASHES:
            self._seats.free(task)
        self._bell.set()

    def _look_for_suspects(self) -> None:
        self._suspects = True
        self._bell.set()

    async def _run(self) -> None:
        while not self._stopped:
            await self._bell.wait()
            self._bell.clear()
            try:
                if len(self._ready) > self._many:
                    await self._forget()
                await self._claim_suspects()
                while not self._stopped and (room := self._rooms()):
                    await self._claim(room)
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

    def _rooms(self) -> dict[str, int]:
        """The queues worth a look that have room, in rotation, and how many tasks each may start."""
        free = self._concurrency - self.running
        if free <= 0:
            return {}
        candidates = (queue for queue in self._ready if self._room(queue) > 0)
        chosen = list(itertools.islice(candidates, min(free, MAX_QUEUES)))
        return {queue: min(self._room(queue), free // len(chosen)) for queue in chosen}

    def _room(self, queue: str) -> int:
        return self._shares.get(queue, self._concurrency) - self._held.get(queue, 0)

    async def _claim(self, room: dict[str, int]) -> None:
        """All these queues in one transaction: one a queue would make each of them wait for the disk."""
        for queue in room:
            del self._ready[
                queue
            ]  # before the claim: whoever rings during it puts the queue back, at the end of the line
        self._asked = room.keys()
        try:
            claimed = await self._store.claim(room, self._clock.now())
        except BaseException:
            self._ready.update(dict.fromkeys(room, True))
            raise
        finally:
            self._asked = frozenset()
        taken = collections.Counter(task.queue for task in claimed)
        for queue, most in room.items():
            if taken[queue] == most:
                self._ready[queue] = True
            elif self._ready.get(queue) is False:
                # The store answers in the order of its commits: who rang by now was committed when this claim found no
                # more. Whoever is only expected comes after it.
                del self._ready[queue]
        await self._start(claimed)

    async def _claim_suspects(self) -> None:
        while self._suspects and not self._stopped and self.running < self._concurrency:
            self._suspects = False  # before the claims, so that a ring during them is heard
            for least, most, seats in self._seats.rooms():
                room = min(seats, self._concurrency - self.running)
                claimed = await self._store.claim_suspects(least, most, room, self._clock.now())
                if claimed:
                    self._suspects = True  # there may be more
                    for task in claimed:
                        self._seats.take(task)
                    await self._start(claimed)
                    break

    async def _start(self, claimed: list[Claimed]) -> None:
        if self._stopped:  # the stop came while the claim was on its way
            for task in claimed:
                await self._store.release(task.id, task.fence, task.queue, self._clock.now())
            return
        early = []
        for task in claimed:
            if self._runner.lingering.holds(task.id):
                early.append(task)
                continue
            self._held[task.queue] = self._held.get(task.queue, 0) + 1
            self._spawn(self._runner.run, self._runner.prepare(task))
        for task in early:
            await self._postpone(task)

    async def _postpone(self, task: Claimed) -> None:
        """Code of an earlier run of this task is still at work."""
        self._seats.free(task)
        pause = self._runner.lingering.pause(task.id)
        await insist(
            lambda: self._store.release(
                task.id, task.fence, task.queue, self._clock.now(), run_at=self._clock.now() + pause
            ),
            self._clock,
        )
