"""`ctx.limit`: never more calls to another server than it allows in any window, over all tasks, crashes and restarts.

A call is on record before it is made and counts as in flight until it is answered. Then it gets the date of its answer,
because only then is it certain that the other server has counted it. A call that a dead process left in flight may have
arrived at any moment up to that death: it gets the date at which the next process starts.

Which call may enter is decided in memory, by the monotonic clock; the store is for the next process. Entering costs a
commit before the call. The date of the answer is written later; when that write is lost, the call counts for longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final

from quart_app.clock import Clock
from quart_app.core.errors import StoreClosed, StoreUnavailable
from quart_app.core.limits import MAX_CALLS, MAX_HOLD, MAX_SECONDS, Hold, Limit, Moment, retry_after
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.store.protocols.limits import LimitStore

log = logging.getLogger("quart_app.limits")

BATCH: Final = 500  # rows settled in one write
CLOCK_DRIFT: Final = 1.001  # two clocks that are slewed (500 ppm each at most) differ by 0.1 % at most


class Permit:
    """The value of `async with ctx.limit(…) as limit`."""

    def __init__(self, limits: OutboundLimits, ledger: _Ledger) -> None:
        self._limits = limits
        self._ledger = ledger

    async def hold(self, after: float | str | None = None) -> None:
        """Stop all calls under this limit for a time, over restarts too. `after`: seconds, or a Retry-After field;
        None, or a text that cannot be read: one window. At most an hour, or a window if that is longer."""
        await self._limits._hold(self._ledger, after)


class _Ledger:
    """The calls of one name that count. `asked`: the numbers given in this process; None: none were given yet."""

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
        self.turn = asyncio.Lock()  # first come, first served
        self.changed = asyncio.Event()

    def expire(self, now: float) -> Iterator[int]:
        """Drop calls that have left the window, and the oldest beyond `max_calls`: the newer ones count for longer."""
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
        """Read the calls and holds of earlier processes; once, before any call enters. Raises StoreUnavailable."""
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
        """Wait until one more call is within `max_calls` in any `window` (seconds). The block is the call; the end of
        the block is the answer. Calls enter in the order in which they came. A cancel ends the wait and leaves
        nothing behind. With `wait` False the call is counted and made at once, even over the limit.

        Raises ValueError for numbers that are no limit, and when the name is in use with other numbers.
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
            await retry_store_call(lambda: self._store.enter_call(call, ledger.name, window_ms), self._clock)
        except BaseException:
            # The call was not made; its row may still be written, because a write is never taken back.
            ledger.in_flight -= 1
            ledger.changed.set()
            self._forgotten.append(call)
            self._settle()
            raise
        return call

    def _pause(self, ledger: _Ledger) -> float | None:
        """Seconds until the next call may enter; None: only after a change."""
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
        await retry_store_call(lambda: self._store.hold(hold), self._clock)

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), math.ceil(self._clock.monotonic() * 1000))

    # --- the store, in the background

    async def run_once(self, now: int) -> None:
        """Delete calls and holds that no longer count."""
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
        """Write the collected changes in small batches; retry while the store cannot write."""
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
        """Write the last dates. A call whose date cannot be written now counts for longer in the next process."""
        self._closing = True
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=1.0)
