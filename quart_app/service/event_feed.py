"""One reader of the events for all followers. The rows are the truth: a follower that is behind reads them itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from quart_app.core.task import FeedEvent
from quart_app.store.protocols.tasks import Store

PAGE: Final = 200  # events of one read
WINDOW: Final = 1_000  # event numbers that one filtered read may walk: a filter may rarely match, and other reads wait
ROOM: Final = 32_768  # bytes of events kept for one tail, and given to it at once: thousands of tails may be stalled
LAST: Final = 2**63 - 1


class EventFeed:
    """Reads the events committed since the last read and gives them to the tails of their task and of all tasks.
    Without tails it does nothing, and a commit costs one comparison."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of_task: dict[str, set[Tail]] = {}
        self._of_all: set[AllTail] = set()
        self._joining = asyncio.Lock()
        self._stopped = False
        self.notify: Callable[[], None] = lambda: None
        """Requests a call of `run_once`; set by the runtime."""
        self.position = -1
        """The number of the last event read; -1: there are no followers."""

    @property
    def watched(self) -> bool:
        return bool(self._of_task or self._of_all)

    async def run_once(self, now: int) -> float | None:
        """One read; 0 when there may be more."""
        if self.position < 0 or not self.watched:
            self.position = -1
            return None
        events = await self._store.feed(self.position, LAST, PAGE)
        for event in events:
            for tail in self._of_task.get(event.event.task_id, ()):
                tail.push(event)
            for everything in self._of_all:
                if everything.wants(event):
                    everything.push(event)
        if events:
            self.position = events[-1].seq
        return 0.0 if len(events) == PAGE else None

    async def follow(self, task_id: str, after: int) -> Tail:
        """The events of one task after number `after`. The caller closes the tail."""
        tail = Tail(self, self._store, task_id, after)
        self._of_task.setdefault(task_id, set()).add(tail)
        await self._join(tail)
        return tail

    async def follow_all(self, after: int | None, kind: str | None, status: str | None, owner: str | None) -> AllTail:
        """The events of all tasks that pass the filters (None: no filter). `after` None: only events from now on."""
        tail = AllTail(self, self._store, after or 0, kind, status, owner)
        self._of_all.add(tail)
        await self._join(tail)
        if after is None:
            tail.position = self.position
        return tail

    async def _join(self, tail: Tail) -> None:
        """Called when the tail is registered. Make sure that the feed reads, and from where: the tail finds earlier
        events in the rows and gets later ones from the feed."""
        try:
            async with self._joining:
                if self.position < 0:
                    self.position = await self._store.last_event()
                    self.notify()  # a wake-up during the read found no position to read from
            if tail.position > self.position and tail.position > (last := await self._store.last_event()):
                tail.position = last  # no such event exists, or it is lost with its database: start from now
        except BaseException:
            tail.close()
            raise
        if self._stopped:
            tail.stop()

    def leave(self, tail: Tail) -> None:
        if isinstance(tail, AllTail):
            self._of_all.discard(tail)
        elif (tails := self._of_task.get(tail.task_id)) is not None:
            tails.discard(tail)
            if not tails:
                del self._of_task[tail.task_id]

    def stop(self) -> None:
        """End every tail at once, and every later one when it joins."""
        self._stopped = True
        for tail in [*self._of_all, *(tail for tails in self._of_task.values() for tail in tails)]:
            tail.stop()


class Tail:
    """One follower of one task. `position` is the number of the last event it was given. `ended`: the task has ended
    and all its events were given. `stopped`: no more events will be given."""

    def __init__(self, feed: EventFeed, store: Store, task_id: str, after: int) -> None:
        self._feed = feed
        self._store = store
        self._buffer: deque[FeedEvent] = deque()
        self._room = ROOM
        self._page = PAGE
        self._wake_up = asyncio.Event()
        self._behind = True
        self._terminal = False
        self.task_id = task_id
        self.position = after
        self.ended = False
        self.stopped = False

    def push(self, event: FeedEvent) -> None:
        """Called by the feed, in the order of the events."""
        if self._behind:
            return
        self._room -= event.size
        if self._room < 0:
            self._empty()
            self._behind = True
        else:
            self._buffer.append(event)
        self._wake_up.set()

    def _empty(self) -> None:
        self._buffer.clear()
        self._room = ROOM

    def stop(self) -> None:
        self.stopped = True
        self._wake_up.set()

    def close(self) -> None:
        self._feed.leave(self)

    async def next(self, timeout: float) -> list[FeedEvent]:
        """The next events, oldest first; none after `timeout` seconds, or when no more events come."""
        try:
            async with asyncio.timeout(timeout):
                while not self.stopped and not self.ended:
                    self._wake_up.clear()
                    found = await self._catch_up() if self._behind else self._take()
                    if found:
                        self.position = found[-1].seq
                        self._terminal = found[-1].terminal
                    self.ended = self._terminal and self._is_final()
                    if found or self.ended:
                        return found
                    if not self._behind:
                        await self._wake_up.wait()
        except TimeoutError:
            pass
        return []

    async def over(self) -> bool:
        """Whether the rows have no more events: the task has ended and all events were given, or it is gone."""
        task = await self._store.get(self.task_id)
        if task is None:
            return True
        if not task.ended:
            return False
        if await self._store.events(self.task_id, self.position, 1):
            self._behind = True  # a wake-up was lost
            return False
        return True

    def _is_final(self) -> bool:
        """Whether the terminal event just given is the last one: a rerun may have followed it."""
        return not self._behind and not (self._buffer and self._buffer[-1].seq > self.position)

    def _take(self) -> list[FeedEvent]:
        # Events that came while the rows were read may be in both.
        found = [event for event in self._buffer if event.seq > self.position]
        self._empty()
        return found

    async def _catch_up(self) -> list[FeedEvent]:
        """A page of the rows. Events of the feed are kept from before the read, so that the last page joins them."""
        self._behind = False
        self._empty()
        try:
            page, more = await self._read()
        except BaseException:
            self._behind = True
            raise
        sizes = accumulate(event.size for event in page)
        found = [event for event, size in zip(page, sizes, strict=True) if size <= ROOM] or page[:1]
        cut = len(found) < len(page)
        self._page = max(2 * len(found), 4) if cut else PAGE  # large events: read only as many as there is room for
        self._behind = self._behind or more or cut
        return found

    async def _read(self) -> tuple[list[FeedEvent], bool]:
        """Events after `position`, and whether there may be more."""
        rows = await self._store.events(self.task_id, self.position, self._page)
        return [FeedEvent(row) for row in rows], len(rows) == self._page


class AllTail(Tail):
    """One follower of all tasks, or of those that pass its filters."""

    def __init__(
        self, feed: EventFeed, store: Store, after: int, kind: str | None, status: str | None, owner: str | None
    ) -> None:
        super().__init__(feed, store, "", after)
        self._kind = kind
        self._status = status
        self._owner = owner

    def wants(self, event: FeedEvent) -> bool:
        return (
            (self._kind is None or event.kind == self._kind)
            and (self._status is None or event.event.status == self._status)
            and (self._owner is None or event.owner == self._owner)
        )

    async def over(self) -> bool:
        """False, always. When no event is waiting, skipped events count as given, so that they are not read again."""
        if not self._behind and not self._buffer:
            self.position = max(self.position, self._feed.position)
        return False

    def _is_final(self) -> bool:
        return False

    async def _read(self) -> tuple[list[FeedEvent], bool]:
        goal = self._feed.position  # later events come from the feed
        while self.position < goal:
            until = min(self.position + WINDOW, goal)
            found = await self._store.feed(self.position, until, self._page, self._kind, self._status, self._owner)
            if found:
                return found, found[-1].seq < goal
            self.position = until
        return [], False
