"""The tasks of one queue among which a claim chooses: the owners whose turn is next, the heads of their lanes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from quart_app.core.admission import TURN, Admission, Gate, Head, Lane, Share
from quart_app.store.gates import PAUSE_GATE, Gates
from quart_app.store.lanes import Statements

MOVED: Final = 500  # tasks of one queue that a claim moves to the lanes where they belong
SPARE: Final = 16  # owners and lanes that are looked at, more than there are places
LEAST_LANES: Final = 8  # lanes of a share that are looked at, at least
PLAIN: Final = 0  # the number of the share and the lane of tasks without a lane


class Candidates:
    """`more`: there is more than what was looked at. `moved`: tasks were moved to other lanes."""

    def __init__(self, do: Statements, gates: Gates, queue: str, room: int, now: int, up: int) -> None:
        self._do = do
        self._gates = gates
        self._queue = queue
        self._limit = room + SPARE
        self._now = now
        self._up = up
        self._misplaced: list[int] = []
        self._laned: dict[str, bool] = {}  # by kind: whether its tasks must be in a lane
        self._shares: list[Share] = []
        self._plain_share: int | None = None  # the one that the tasks without a lane belong to
        self.gates: dict[str, Gate] = {}
        self.more = self.moved = False

    def shares(self, plain: tuple[str, int] | None) -> list[Share]:
        """`plain`: the owner of the tasks without a lane, and the turns that they had; None: there are none."""
        rows = self._do("open_shares", queue=self._queue, limit=self._limit)
        self.more = len(rows) == self._limit
        each = max(self._limit // max(len(rows), 1), LEAST_LANES)
        lanes = {share: self._lanes(share, each) for share, *_ in rows}
        looked = [lane for found in lanes.values() for lane, *_ in found]
        gates = self._gates.of_lanes(looked)
        text = msgspec.json.encode(looked).decode()
        firsts = {
            lane: (Head(*head), bottom) for lane, *head, bottom in self._do("first_heads", lanes=text, now=self._now)
        }
        self.gates = {gate.name: gate for found in gates.values() for gate in found}
        for number, vtime, running, owner in rows:
            made = [
                self._lane(lane, [*pause, *gates.get(lane, ())], resumed, *firsts[lane])
                for lane, resumed, pause in lanes[number]
                if lane in firsts
            ]
            turns, busy = vtime, running
            if plain is not None and owner == plain[0]:
                turns, busy = max(vtime, plain[1]), running + self._plain_running()
                made.append(self._plain())
                self._plain_share, plain = number, None
            self._shares.append(Share(number, turns, busy, made))
        if plain is not None:
            # Who comes back after a pause begins where the others are, as it is with shares.
            vtime = max(plain[1], min((row[1] for row in rows), default=0) - TURN)
            self._plain_share = PLAIN
            self._shares.append(Share(PLAIN, vtime, self._plain_running(), [self._plain()]))
        return self._shares

    def _lanes(self, share: int, limit: int) -> list[tuple[int, bool, tuple[Gate, ...]]]:
        """Lanes of a share, those that had no turn for longest first: the number, whether its tasks resume, and a
        closed gate when its kind is paused. Those whose kind has other limits now are emptied."""
        rows = self._do("open_lanes", share=share, limit=limit)
        self.more = self.more or len(rows) == limit
        found: list[tuple[int, bool, tuple[Gate, ...]]] = []
        for lane, outdated, paused, kind, resumed in rows:
            if outdated:
                heads = self._do("lane_seqs", lane=lane, limit=MOVED)
                self._misplaced += [seq for (seq,) in heads]
            else:
                found.append((lane, bool(resumed), (Gate(PAUSE_GATE + kind, room=0),) if paused else ()))
        return found

    def _lane(self, lane: int, gates: Sequence[Gate], resumed: bool, first: Head, bottom: int) -> Lane:
        """`bottom`: the lowest priority in it."""
        below = _nothing if bottom == first.priority else functools.partial(self._below_in_lane, lane)
        return Lane(lane, gates, self._lane_heads(lane, first), below, not resumed)

    def _lane_heads(self, lane: int, first: Head) -> Iterator[Head]:
        """The others are only read when they are asked for."""
        yield first
        for row in self._do("lane_heads", lane=lane, now=self._now, limit=self._limit):
            if row[0] != first.seq:
                yield Head(*row)

    def _plain_running(self) -> int:
        ((in_shares,),) = self._do("running_in_shares", queue=self._queue)
        ((running,),) = self._do("running_in_queue", queue=self._queue)
        return int(running - in_shares)

    def _plain(self) -> Lane:
        return Lane(PLAIN, (), self._plain_heads(), self._below_plain)

    def _plain_heads(self) -> Iterator[Head]:
        """Without those of kinds that have limits now: they are moved into lanes."""
        for row in self._do("plain_heads", queue=self._queue, now=self._now, limit=self._limit + MOVED):
            head = Head(*row)
            if not self._is_laned(head.kind):
                yield head
            elif len(self._misplaced) < MOVED:
                self._misplaced.append(head.seq)
            else:
                return

    def _is_laned(self, kind: str) -> bool:
        if kind not in self._laned:
            self._laned[kind] = bool(self._do("laned", kind=kind))
        return self._laned[kind]

    def _below_in_lane(self, lane: int, priority: int) -> Head | None:
        rows = self._do("lane_heads_below", lane=lane, priority=priority, now=self._now)
        return next((Head(*row) for row in rows), None)

    def _below_plain(self, priority: int) -> Head | None:
        rows = self._do("plain_heads_below", queue=self._queue, priority=priority, now=self._now)
        return next((head for head in (Head(*row) for row in rows) if not self._is_laned(head.kind)), None)

    def write(self, admission: Admission) -> None:
        """The turns that were had; and tasks that are in a wrong lane."""
        started = {number for _, _, number in admission.granted}
        for share in self._shares:
            if share.number in started and share.number == self._plain_share:
                self._do("advance_queue", queue=self._queue, vtime=share.vtime)
            if share.number in started and share.number != PLAIN:
                self._do("advance_share", share=share.number, vtime=share.vtime)
        looked = {lane for _, lane, _ in admission.granted if lane}
        if looked:
            self._do("turn_lanes", lanes=msgspec.json.encode(list(looked)).decode())
        if self._misplaced:
            self._do("unsort", seqs=msgspec.json.encode(self._misplaced).decode())
            self.moved = True


def _nothing(priority: int) -> None:
    return None
