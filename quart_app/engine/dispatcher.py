"""The dispatcher claims ready tasks when a slot is free and passes each to `spawn` (add_background_task).

Pending work costs a row, not memory: only tasks that hold a slot are coroutines. The dispatcher sleeps until it is
notified of a committed task or a free slot, or by the poller. Each notice names the queue to look at.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from collections.abc import Callable, Collection, Set
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreUnavailable
from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import Claimed
from quart_app.engine.attempt import Runner
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.engine.suspects import SuspectSeats
from quart_app.store.protocols.tasks import Store

log = logging.getLogger("quart_app.runner")

Spawn = Callable[..., None]

MAX_READY: Final = 1000  # queues in the rotation; above this, those with nothing to claim are dropped
MAX_QUEUES: Final = 64  # queues in one claim
FEW: Final = 16  # queues that are held back and looked at whenever a run ends
LATE_MS: Final = 5_000  # a task that is due for longer in a queue with room has lost its wake-up


class Dispatcher:
    def __init__(
        self,
        store: Store,
        runner: Runner,
        clock: Clock,
        spawn: Spawn,
        concurrency: int,
        max_crashes: int,
    ) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._spawn = spawn
        self._concurrency = concurrency
        self.running = 0  # tasks that hold a slot
        # Queues to look at, in turn. True: the queue stays although the claim under way finds no more tasks.
        self._ready: dict[str, bool] = {}
        self._asked: Set[str] = frozenset()  # queues of the claim that is running now
        # Queues with tasks that limits hold back; those that were asked last are last.
        self._held_back: dict[str, None] = {}
        self._limits_gave_way = False  # there may be room under a limit
        self._opening: tuple[int, asyncio.TimerHandle] | None = None  # when the next one gives way by time
        self._many = MAX_READY
        self._suspects = False  # True: there may be suspects to claim
        self._seats = SuspectSeats(concurrency, max_crashes, self._look_for_suspects)
        self._wake_up = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        runner.on_free = self._freed
        runner.on_over = self._wake_up.set
        runner.on_headway = self._seats.free

    def _free(self) -> int:
        """How many tasks may start now. Runs whose end is not recorded yet hold no slot, but there may be at most as
        many as slots: a full disk may accept claims and no ends."""
        return min(self._concurrency - self.running, 2 * self._concurrency - len(self._runner.runs))

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="dispatcher")

    def halt(self) -> None:
        """Claim nothing more. Running tasks go on; the tasks of a claim that is under way are released."""
        self._stopped = True
        self._wake_up.set()

    async def stop(self) -> None:
        """`halt`, and wait until the last claim is settled."""
        self.halt()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._opening is not None:
            self._opening[1].cancel()
        self._seats.close()

    def notify(self, queue: str, suspect: bool = False) -> None:
        """There is something to claim."""
        if suspect:
            self._suspects = True
        else:
            self._ready.setdefault(queue, False)
        self._wake_up.set()

    def expect(self, queue: str) -> None:
        """Claim this queue: a task of it is about to be written. A claim sent now shares the transaction of the task,
        so it runs a commit sooner (measured: a tenth less from request to end on an idle system)."""
        self._ready[queue] = True
        self._wake_up.set()

    def held_back(self, asked: Collection[str], queues: Collection[str], opens: int | None) -> None:
        """What a claim said of the queues that it asked, see Listener."""
        if not (queues or opens or self._held_back):
            return
        for queue in asked:
            self._held_back.pop(queue, None)
        self._held_back.update(dict.fromkeys(queues))
        if opens is not None and (self._opening is None or opens != self._opening[0]):
            if self._opening is not None:
                self._opening[1].cancel()
            seconds = max(opens - self._up(), 0) / 1000
            self._opening = opens, asyncio.get_running_loop().call_later(seconds, self._opened)

    def place_freed(self) -> None:
        """A run has ended: a limit may have room for a task that it holds back."""
        if self._held_back:
            self._limits_gave_way = True
            if len(self._held_back) <= FEW:
                # In the same claim; of many queues the claim tells which are meant, and they wait for another one.
                for queue in self._held_back:
                    self._ready.setdefault(queue, False)
            self._wake_up.set()

    def _opened(self) -> None:
        self._opening = None
        self._limits_gave_way = True  # there may be more to do than what is known to be held back
        self.place_freed()
        self._wake_up.set()

    def _up(self) -> int:
        """Now, in ms since the boot."""
        return int(self._clock.monotonic() * 1000)

    async def look(self, now: int) -> None:
        """Look for tasks that wait although there is room, in case a wake-up was lost: that may cost seconds, never a
        task."""
        if self._free() <= 0 or not (waiting := await self._store.ready_queues(MAX_READY)):
            return
        self._look_for_suspects()  # the counts do not separate suspects from others
        for queue in itertools.islice(self._held_back, MAX_QUEUES):
            self.notify(queue)
        known = self._ready.keys() | self._asked | self._held_back.keys()
        silent = [queue for queue in waiting if queue not in known]
        if not silent:
            return
        for queue, due in (await self._store.oldest(silent)).items():
            if now - due > LATE_MS:
                log.warning("queue %s had work for %.0f s, and nobody was told", queue, (now - due) / 1000)
            self.notify(queue)

    def _freed(self, task: Claimed) -> None:
        self.running -= 1
        if task.queue in self._held_back:
            self._ready.setdefault(task.queue, False)
        if task.crashes >= SUSPECT_CRASHES:
            self._seats.free(task)
        if task.parent_queue is not None:
            self.expect(task.parent_queue)  # its end may be what its parent waits for
        self._wake_up.set()

    def _look_for_suspects(self) -> None:
        self._suspects = True
        self._wake_up.set()

    async def _run(self) -> None:
        while not self._stopped:
            await self._wake_up.wait()
            self._wake_up.clear()
            try:
                if len(self._ready) > self._many:
                    await self._forget()
                await self._claim_suspects()
                while not self._stopped and ((room := self._rooms()) or (self._limits_gave_way and self._free() > 0)):
                    await self._claim(room)
            except StoreUnavailable as error:
                log.warning("cannot claim: %s", error)
                self._wake_up.set()
                await self._clock.sleep(0.5)
            except Exception:
                log.exception("the dispatcher failed and goes on")
                self._wake_up.set()
                await self._clock.sleep(0.5)

    async def _forget(self) -> None:
        """Drop the queues whose tasks are gone: while every slot is taken no queue is claimed, and clients may name any
        number of queues. A task that is only expected notifies when it is committed."""
        before, self._ready = self._ready, {}
        live: Set[str] = before.keys()
        try:
            live = {count.queue for count in await self._store.counts() if count.ready}
        finally:
            self._ready = {queue: again for queue, again in before.items() if queue in live} | self._ready
        self._many = max(MAX_READY, 2 * len(self._ready))

    def _rooms(self) -> dict[str, int]:
        """The queues to look at that have room, in rotation, and how many tasks each may start."""
        free = self._free()
        if free <= 0:
            return {}
        chosen = list(itertools.islice(self._ready, min(free, MAX_QUEUES)))
        return {queue: free // len(chosen) for queue in chosen}

    async def _claim(self, room: dict[str, int]) -> None:
        """Claim from all these queues in one transaction: one for each queue would wait for the disk each time."""
        for queue in room:
            del self._ready[queue]  # before the claim: a notice during it puts the queue back, at the end
        self._asked = room.keys()
        self._limits_gave_way = False
        try:
            claimed = await self._store.claim(room, self._clock.now(), self._up())
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
                # The store answers in the order of its commits: a task notified by now was committed before this claim,
                # which found no more. A task that is only expected is committed later.
                del self._ready[queue]
        await self._start(claimed)

    async def _claim_suspects(self) -> None:
        while self._suspects and not self._stopped and self._free() > 0:
            self._suspects = False  # before the claims, so that a notice during them counts
            for least, most, seats in self._seats.rooms():
                room = min(seats, self._free())
                claimed = await self._store.claim_suspects(least, most, room, self._clock.now(), self._up())
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
            self.running += 1
            self._spawn(self._runner.run, self._runner.prepare(task))
        for task in early:
            await self._postpone(task)

    async def _postpone(self, task: Claimed) -> None:
        """Release the task with a pause: code of an earlier run of it still runs."""
        self._seats.free(task)
        pause = self._runner.lingering.pause(task.id)
        await retry_store_call(
            lambda: self._store.release(
                task.id, task.fence, task.queue, self._clock.now(), run_at=self._clock.now() + pause
            ),
            self._clock,
        )
