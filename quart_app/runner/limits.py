"""`ctx.limit`: never more calls to somebody else than they allow in any window, over all tasks, crashes and restarts.

A call is on record before it is made, and counts as in flight until it is answered; from then on it is dated by its
answer, because only then is it certain that the other side has counted it. What a dead process has left in flight may
have arrived at any moment up to its death: it is dated by the start of the next one.

Who may call is decided in memory, by the monotonic clock: the store is there for the next life. Entering costs a commit
before the call; the answer's date is written behind it, and when that is lost, the call counts for longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreClosed, StoreUnavailable
from quart_app.core.limits import MAX_CALLS, MAX_HOLD, MAX_SECONDS, Hold, Limit, Moment, retry_after
from quart_app.runner.insist import insist
from quart_app.store.base_limits import LimitStore

if TYPE_CHECKING:
    from quart_app.runner.context import TaskContext

log = logging.getLogger("quart_app.limits")

BATCH: Final = 500  # rows settled in one write
CLOCK_DRIFT: Final = 1.001  # two clocks that are being slewed run apart by 0.1 % at most (500 ppm each)
LOOK: Final = 0.1  # seconds between two looks whether a blocked thread's task shall end


class Permit:
    """What `async with ctx.limit(…) as limit` gives."""

    def __init__(self, limits: OutboundLimits, ledger: _Ledger) -> None:
        self._limits = limits
        self._ledger = ledger

    async def hold(self, after: float | str | None = None) -> None:
        """Nobody enters this limit for so long, over restarts too. `after`: seconds, or the text of a Retry-After
        field; None, or a text that says nothing: one window. At most an hour, or a window if that is longer."""
        await self._limits._hold(self._ledger, after)


class _Ledger:
    """The calls of one name that count. `asked`: the numbers that this process was asked for; None: of former lives."""

    def __init__(self, name: str, window: float) -> None:
        self.name = name
        self.limit = Limit(0, window)
        self.asked: tuple[int, float] | None = None
        self.dates: deque[float] = deque()  # when the answered ones were answered, by the monotonic clock
        self.ids: deque[int] = deque()  # their rows
        self.in_flight = 0
        self.held_until = float("-inf")
        self.holds: list[int] = []
        self.users = 0
        self.turn = asyncio.Lock()  # who comes first enters first
        self.changed = asyncio.Event()

    def expire(self, now: float) -> Iterator[int]:
        """Drop what has left the window, and of those that did not wait for room the ones that newer ones outlast."""
        most = math.inf if self.asked is None else self.limit.max_calls
        while self.dates and (self.dates[0] + self.limit.window <= now or len(self.dates) > most):
            self.dates.popleft()
            yield self.ids.popleft()

    def idle(self, now: float) -> bool:
        return not self.users and not self.dates and self.held_until <= now


class OutboundLimits:
    """All limits of this process, by name."""

    def __init__(self, store: LimitStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ledgers: dict[str, _Ledger] = {}
        self._numbers = itertools.count(1)
        self._answered: dict[int, Moment] = {}
        self._forgotten: list[int] = []
        self._released: list[int] = []
        self._settling: asyncio.Task[None] | None = None
        self._closing = False

    async def load(self) -> None:
        """Read what counts from former lives; once, before anybody enters. Raises StoreUnavailable."""
        now, monotonic = self._moment(), self._clock.monotonic()
        last = 0
        found: dict[str, list[tuple[float, int]]] = {}
        for call in await self._store.recover_calls(now):
            last = max(last, call.id)
            age = call.at.age(now)
            if age >= call.window_ms:
                self._forgotten.append(call.id)
                continue
            ledger = self._ledgers.setdefault(call.name, _Ledger(call.name, 0))
            ledger.limit = Limit(0, max(ledger.limit.window, call.window_ms / 1000))
            found.setdefault(call.name, []).append((monotonic - age / 1000, call.id))
        for name, calls in found.items():
            for date, number in sorted(calls):
                self._ledgers[name].dates.append(date)
                self._ledgers[name].ids.append(number)
        for hold in await self._store.holds():
            last = max(last, hold.id)
            ledger = self._ledgers.setdefault(hold.name, _Ledger(hold.name, 0))
            ledger.held_until = max(ledger.held_until, monotonic + (hold.held_ms - hold.at.age(now)) / 1000)
            ledger.holds.append(hold.id)
        self._numbers = itertools.count(last + 1)
        self._settle()

    @contextlib.asynccontextmanager
    async def limit(self, name: str, max_calls: int, window: float, wait: bool = True) -> AsyncIterator[Permit]:
        """Wait until one more call is within `max_calls` in any `window` (seconds); the block is the call, and its end
        is the answer. Who comes first enters first. A cancel ends the wait and leaves nothing behind. With `wait`
        False the call is counted, and made whatever the limit says.

        Raises ValueError for what is no limit, and when the name is in use with other numbers.
        """
        ledger = self._ledger(name, max_calls, window)
        ledger.users += 1
        try:
            call = await self._enter(ledger, wait)
            try:
                yield Permit(self, ledger)
            finally:
                self._leave(ledger, call)
        finally:
            ledger.users -= 1

    def _ledger(self, name: str, max_calls: int, window: float) -> _Ledger:
        if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
            raise ValueError(f"a limit's name is a printable text of 1 to 100 characters, not {name!r:.100}")
        if type(max_calls) is not int or not 0 < max_calls <= MAX_CALLS or not 0.001 <= window <= MAX_SECONDS:
            raise ValueError(
                f"limit {name!r}: max_calls is 1 to {MAX_CALLS}, window 0.001 to {MAX_SECONDS:g} seconds; not "
                f"{max_calls!r:.20} in {window!r:.20}"
            )
        ledger = self._ledgers.get(name)
        if ledger is None:
            ledger = self._ledgers[name] = _Ledger(name, window * CLOCK_DRIFT)
        if ledger.asked is not None and ledger.asked != (max_calls, window):
            raise ValueError(
                f"limit {name!r} is {ledger.asked[0]} calls in {ledger.asked[1]:g} s, and was asked for with "
                f"{max_calls} in {window:g} s: one name has one limit"
            )
        ledger.asked = max_calls, window
        ledger.limit = Limit(max_calls, window * CLOCK_DRIFT)
        return ledger

    async def _enter(self, ledger: _Ledger, wait: bool) -> int:
        if wait:
            async with ledger.turn:
                while (seconds := self._pause(ledger)) is None or seconds > 0:
                    await self._wait(ledger, seconds)
                ledger.in_flight += 1
        else:
            ledger.in_flight += 1
        call = next(self._numbers)
        window_ms = math.ceil(ledger.limit.window * 1000)
        try:
            await insist(lambda: self._store.enter_call(call, ledger.name, window_ms), self._clock)
        except BaseException:
            # Nobody was called; the row may be written all the same, because a write is never taken back.
            ledger.in_flight -= 1
            ledger.changed.set()
            self._forgotten.append(call)
            self._settle()
            raise
        return call

    def _pause(self, ledger: _Ledger) -> float | None:
        """Seconds until the next one may enter; None: not before something changes."""
        now = self._clock.monotonic()
        self._forgotten.extend(ledger.expire(now))
        at = ledger.limit.opens_at(ledger.dates, ledger.in_flight, now)
        return None if at is None else max(at, ledger.held_until) - now

    async def _wait(self, ledger: _Ledger, seconds: float | None) -> None:
        ledger.changed.clear()
        waits: list[asyncio.Task[object]] = [asyncio.create_task(ledger.changed.wait())]
        if seconds is not None:
            waits.append(asyncio.create_task(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _leave(self, ledger: _Ledger, call: int) -> None:
        ledger.in_flight -= 1
        ledger.dates.append(self._clock.monotonic())
        ledger.ids.append(call)
        ledger.changed.set()
        self._answered[call] = self._moment()
        self._forgotten.extend(ledger.expire(ledger.dates[-1]))
        self._settle()

    async def _hold(self, ledger: _Ledger, after: float | str | None) -> None:
        window = ledger.limit.window
        if isinstance(after, str):
            after = retry_after(after, self._clock.now())
        seconds = window if after is None else after
        if not seconds >= 0:
            raise ValueError(f"hold takes seconds, not {after!r}")
        seconds = min(seconds, max(window, MAX_HOLD))
        until = self._clock.monotonic() + seconds
        if until <= ledger.held_until or not seconds:
            return
        ledger.held_until = until
        ledger.changed.set()
        log.warning("%s: nobody calls for %.3g s", ledger.name, seconds)
        hold = Hold(next(self._numbers), ledger.name, self._moment(), math.ceil(seconds * 1000))
        ledger.holds.append(hold.id)
        await insist(lambda: self._store.hold(hold), self._clock)

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), math.ceil(self._clock.monotonic() * 1000))

    # --- the store, behind everybody's back

    async def run_once(self, now: int) -> None:
        """Forget what counts no more."""
        monotonic = self._clock.monotonic()
        for ledger in list(self._ledgers.values()):
            self._forgotten.extend(ledger.expire(monotonic))
            if ledger.held_until <= monotonic:
                self._released += ledger.holds
                ledger.holds.clear()
            if ledger.idle(monotonic):
                del self._ledgers[ledger.name]
        self._settle()

    def _settle(self) -> None:
        if self._settling is None and (self._answered or self._forgotten or self._released):
            self._settling = asyncio.create_task(self._settle_all(), name="limits")

    async def _settle_all(self) -> None:
        """Write what has gathered, in small batches; a store that cannot write is asked again."""
        try:
            while self._answered or self._forgotten or self._released:
                answered = dict(itertools.islice(self._answered.items(), BATCH))
                forgotten, released = self._forgotten[:BATCH], self._released[:BATCH]
                try:
                    await self._store.settle_calls(answered, forgotten, released)
                except StoreClosed:
                    return
                except StoreUnavailable:
                    if self._closing:
                        return
                    await self._clock.sleep(1.0)
                    continue
                for call in answered:
                    del self._answered[call]
                del self._forgotten[: len(forgotten)], self._released[: len(released)]
        finally:
            self._settling = None

    async def close(self) -> None:
        """Write the last dates; what cannot be written now counts for longer in the next life."""
        self._closing = True
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=1.0)


class BlockingLimit:
    """`with ctx.limit(…) as limit:` in a thread; a task that shall end stops waiting."""

    def __init__(
        self,
        context: TaskContext,
        loop: asyncio.AbstractEventLoop,
        name: str,
        max_calls: int,
        window: float,
        wait: bool,
    ) -> None:
        self._context = context
        self._loop = loop
        self._entry = context.limit(name, max_calls, window, wait)

    def __enter__(self) -> BlockingLimit:
        permit = asyncio.run_coroutine_threadsafe(self._enter(), self._loop).result()
        if permit is None:
            raise asyncio.CancelledError("the task was asked to end")
        self._permit = permit
        return self

    async def _enter(self) -> Permit | None:
        """None: the task shall end. Looked at here, on the loop, where a cancel and an entry cannot pass each other."""
        entering = asyncio.ensure_future(self._entry.__aenter__())
        while not (await asyncio.wait([entering], timeout=LOOK))[0]:
            if self._context.cancelled:
                entering.cancel()
        return None if entering.cancelled() else entering.result()

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._entry.__aexit__(None, None, None), self._loop).result()

    def hold(self, after: float | str | None = None) -> None:
        """As `Permit.hold`."""
        asyncio.run_coroutine_threadsafe(self._permit.hold(after), self._loop).result()
