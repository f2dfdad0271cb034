"""Decides which waiting tasks of a queue start next: owners take turns, and closed gates hold lanes back. Pure.

A gate is a limit in use: how many tasks run under it, and how many start in a window. A lane is the waiting tasks of
one owner and kind under the same gates. A share is all lanes of one owner in one queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Final, NamedTuple

TURN: Final = 1000  # what one start costs a share
OLDEST_EACH: Final = 8  # one place in so many goes to the task that is due for longest, so that none starves
FREED: Final = 0  # a gate that opens when a run ends


class Head(NamedTuple):
    """A waiting task. `run_at` in ms UTC."""

    seq: int
    priority: int
    run_at: int
    kind: str

    @property
    def rank(self) -> tuple[int, int, int]:
        """The least one starts first."""
        return -self.priority, self.run_at, self.seq

    @property
    def age(self) -> tuple[int, int]:
        """The least one is due for longest."""
        return self.run_at, self.seq


class Gate:
    """One limit in use. `room`: how many tasks more may run (None: any number). `rate` starts in any `window` ms (None:
    any number); `dates`: when start number n was, in ms, for those that may still count; `started`: how many there
    were."""

    __slots__ = ("dates", "granted", "name", "rate", "room", "started", "starts", "window")

    def __init__(
        self,
        name: str,
        room: int | None = None,
        rate: int | None = None,
        window: int = 0,
        started: int = 0,
        dates: Mapping[int, int] = {},
    ) -> None:
        self.name = name
        self.room = room
        self.rate = rate
        self.window = window
        self.started = started
        self.dates = dates
        self.granted = 0  # tasks that are let in now
        self.starts = 0  # those of them that the rate counts

    def closed_until(self, up: int, rated: bool = True) -> int | None:
        """None: it is open. FREED: until a run ends. Else the time of the next start. `up`: now, in ms. `rated` False:
        for a task that resumes."""
        if self.room is not None and self.granted >= self.room:
            return FREED
        if self.rate is None or not rated:
            return None
        if self.starts >= self.rate:
            return up + self.window
        at = self.dates.get(self.started - self.rate + self.starts)
        return None if at is None or at + self.window <= up else at + self.window

    def let_in(self, rated: bool = True) -> None:
        self.granted += 1
        self.starts += rated


class Lane:
    """`heads`: its tasks, in the order in which they start. `below` returns the first one of less than a priority.
    `number` 0: the tasks without a lane. `rated` False: its tasks resume, which no rate counts."""

    __slots__ = ("_below", "_heads", "_taken", "gates", "head", "number", "rated")

    def __init__(
        self,
        number: int,
        gates: Sequence[Gate],
        heads: Iterator[Head],
        below: Callable[[int], Head | None],
        rated: bool = True,
    ) -> None:
        self.number = number
        self.gates = gates
        self.rated = rated
        self._heads = heads
        self._below = below
        self._taken: set[int] = set()
        self.head = next(heads, None)

    def take(self, head: Head) -> None:
        self._taken.add(head.seq)
        while self.head is not None and self.head.seq in self._taken:
            self.head = next(self._heads, None)

    def leave(self) -> None:
        """Nothing more of it starts now."""
        self.head = None

    def oldest(self) -> Head | None:
        """The task that is due for longest. Of each priority that is the first one, and there are few priorities."""
        found = at = self.head
        while at is not None and found is not None:
            at = self._below(at.priority)
            if at is not None and at.seq not in self._taken and at.age < found.age:
                found = at
        return found

    def closed(self, up: int) -> tuple[Gate, int] | None:
        """The first gate that is closed, and until when."""
        for gate in self.gates:
            until = gate.closed_until(up, self.rated)
            if until is not None:
                return gate, until
        return None


class Share:
    """`number` 0: that of the owner whose tasks are in no lane. `running`: tasks of it that run."""

    __slots__ = ("_by_age", "_by_rank", "number", "running", "vtime")

    def __init__(self, number: int, vtime: int, running: int, lanes: Sequence[Lane]) -> None:
        self.number = number
        self.vtime = vtime
        self.running = running
        # Heaps. An entry is out of date when its task is no longer the one that its lane would name.
        self._by_rank: list[tuple[tuple[int, ...], int, Lane]] = [
            (lane.head.rank, n, lane) for n, lane in enumerate(lanes) if lane.head is not None
        ]
        heapify(self._by_rank)
        self._by_age: list[tuple[tuple[int, ...], int, Lane]] | None = None

    def next(self, by_age: bool) -> tuple[Lane, Head] | None:
        """The lane and the task that start next: by priority, or the one that is due for longest."""
        if by_age and self._by_age is None:
            self._by_age = [(head.age, n, lane) for _, n, lane in self._by_rank if (head := lane.oldest()) is not None]
            heapify(self._by_age)
        heap = self._by_age if by_age and self._by_age is not None else self._by_rank
        while heap:
            key, n, lane = heap[0]
            head = lane.oldest() if by_age else lane.head
            if head is None:
                heappop(heap)
            elif (head.age if by_age else head.rank) == key:
                return lane, head
            else:
                heapreplace(heap, ((head.age if by_age else head.rank), n, lane))
        return None


class Parked(NamedTuple):
    lane: int
    gate: str
    until: int


class Admission(NamedTuple):
    """`granted`: the tasks that start, by their number, with the lane and the share of each. `parked`: lanes that met a
    closed gate. `closed`: until when the whole queue is closed; None: it is not."""

    granted: list[tuple[int, int, int]]
    parked: list[Parked]
    closed: int | None


def admit(
    shares: Sequence[Share], queue: Gate | None, slots: int, up: int, most_of_one: int, started: int
) -> Admission:
    """Choose up to `slots` tasks. `queue`: the limit of the whole queue. `most_of_one`: while others wait, a share with
    so many running tasks starts none. `started`: how many of this queue were before."""
    answer = Admission([], [], None)
    waiting = list(shares)
    while waiting and len(answer.granted) < slots:
        if queue is not None and (until := queue.closed_until(up)) is not None:
            return answer._replace(closed=until)
        share = min(waiting, key=lambda one: (one.running >= most_of_one, one.vtime, one.number))
        by_age = (started + len(answer.granted)) % OLDEST_EACH == OLDEST_EACH - 1
        if not _start_one(share, up, by_age, answer, queue):
            waiting.remove(share)
    return answer


def _start_one(share: Share, up: int, by_age: bool, answer: Admission, queue: Gate | None) -> bool:
    """Start a task of the share, or park lanes until none is left."""
    while (found := share.next(by_age)) is not None:
        lane, head = found
        if (closed := lane.closed(up)) is not None:
            answer.parked.append(Parked(lane.number, closed[0].name, closed[1]))
            lane.leave()
            continue
        for gate in lane.gates:
            gate.let_in(lane.rated)
        if queue is not None:
            queue.let_in(lane.rated)
        answer.granted.append((head.seq, lane.number, share.number))
        share.vtime += TURN
        share.running += 1
        lane.take(head)
        return True
    return False
