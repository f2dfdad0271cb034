"""What one claim does: it opens the gates that have room again, and starts tasks of each queue in turn.

A procedure: the writer's thread runs it inside of a transaction, at the place of the statement of its name. The choice
itself is core/admission.py; the tables are described in migration 0014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.core.admission import Admission, Gate, admit
from quart_app.core.claim_limits import OF_QUEUE
from quart_app.store.candidates import Candidates
from quart_app.store.gates import Gates
from quart_app.store.lanes import Statements, sort
from quart_app.store.sqlite.transaction import Call, Row, Run

ROUNDS: Final = 4  # looks of one claim at the gates that it has opened
SUSPECTS: Final = 2_000  # suspects that a claim looks at
DIRTY: Final = 500  # gates that a claim opens

_json: Final = msgspec.json.encode


def claim(run: Run, calls: Sequence[Call]) -> list[Row]:
    """Returns the claimed tasks; and when limits are in use a last row: None, the queues to look at again, those that
    limits hold back, and when the next gate opens by time (ms since the boot, or None)."""
    return _Claim(Statements(run), calls[0].params or {}).run()


def claim_suspects(run: Run, calls: Sequence[Call]) -> list[Row]:
    """Claims suspects through the gates of their lanes."""
    return _Claim(Statements(run), calls[0].params or {}).suspects()


class _Claim:
    def __init__(self, statements: Statements, params: Mapping[str, Any]) -> None:
        self._do = statements
        self._params = params
        self._now, self._up = params["now"], params["up"]
        self._room: dict[str, int] = dict(params.get("room", {}))
        self._by = {name: params[name] for name in ("now", "worker", "code_version")}
        self._rows: list[Row] = []
        self._again: set[str] = set()
        self._held: set[str] = set()
        self._limited = False  # there are lanes or limits in use
        self._slots: int = params["slots"]
        self._gates = Gates(statements, self._slots, self._up, self._now)

    def run(self) -> list[Row]:
        self._prepare()
        queues = list(self._room)
        for _ in range(ROUNDS):
            self._again.difference_update(queues)
            for queue in queues:
                self._claim_from(queue)
            if not self._limited:
                return self._rows
            self._prepare()
            queues = [queue for queue in self._again if self._room.get(queue)]
            if not queues:
                break
        ((opens,),) = self._do("next_opening")
        if any(self._do("to_be_done", up=self._up)[0]):
            opens = self._up  # another claim does the rest
        self._rows.append((None, list(self._again), list(self._held), opens))
        return self._rows

    def _prepare(self) -> None:
        ((unsorted, dirty),) = self._do("to_be_done", up=self._up)
        if unsorted:
            self._limited = True
            self._again |= {queue for (queue,) in sort(self._do.run, ())}
        if dirty:
            self._limited = True
            self._open_gates()

    def _open_gates(self) -> None:
        """Let in as many of the lanes that are parked on a gate as it has room for now."""
        for (name,) in self._do("dirty_gates", up=self._up, limit=DIRTY):
            self._do("clean_gate", gate=name)
            if name.startswith(OF_QUEUE):
                self._again.add(name.removeprefix(OF_QUEUE))
                continue
            gate, until = self._gates.one(name), None
            while gate.granted < self._slots and (until := gate.closed_until(self._up)) is None:
                gate.let_in()
            if gate.granted:
                self._again |= {queue for (queue,) in self._do("unpark", gate=name, limit=gate.granted)}
            places = 0
            while until and gate.granted < self._slots and gate.closed_until(self._up, False) is None:
                gate.let_in(False)
                places += 1
            if places:
                self._again |= {queue for (queue,) in self._do("unpark_resumed", gate=name, limit=places)}
            if until and self._do("parked_on", gate=name):
                self._do("open_gate_at", gate=name, at=until)

    # --- one queue

    def _claim_from(self, queue: str) -> None:
        room = self._room[queue]
        ((paused, shares, parked, unsorted, limited, top, bottom, vtime, sole),) = self._do("queue_state", queue=queue)
        self._held.discard(queue)
        if paused:
            self._shut(queue)
        if paused or room <= 0:
            return
        if not (shares or unsorted or limited or parked) and top == bottom:
            if top is not None:
                rows = self._do("claim_plain", queue=queue, limit=room, **self._by)
                self._room[queue] -= len(rows)
                self._rows += rows
            return
        self._limited = True
        gate = self._gates.of_queue(queue) if limited else None
        if (gate is None or gate.closed_until(self._up) is None) and self._do(
            "unpark", gate=OF_QUEUE + queue, limit=room
        ):
            self._again.add(queue)
        turn = Candidates(self._do, self._gates, queue, room, self._now, self._up)
        shares = turn.shares(None if top is None else (sole, vtime))
        started: dict[str, int] = self._params["started"]
        before = started.get(queue, 0)
        admission = admit(shares, gate, room, self._up, self._params["most_of_one"], before)
        started[queue] = before + len(admission.granted)
        self._write(queue, admission, turn, gate)
        if turn.moved or (turn.more and (admission.granted or admission.parked)):
            self._again.add(queue)
        if admission.closed is not None:
            self._shut(queue)
        if admission.closed is not None or self._do("held_back", queue=queue):
            self._held.add(queue)

    def _shut(self, queue: str) -> None:
        """The queue starts nothing more: its lanes that were let in by other gates hand their places on."""
        lanes = [lane for (lane,) in self._do("lanes_let_in", queue=queue, limit=DIRTY)]
        for lane, gates in self._gates.of_lanes(lanes).items():
            self._do("park", lane=lane, gate=OF_QUEUE + queue, up=self._up)
            for gate in gates:
                self._gates.hand_on(gate)
        if len(lanes) == DIRTY:
            self._again.add(queue)

    def _write(self, queue: str, admission: Admission, turn: Candidates, gate: Gate | None) -> None:
        if admission.granted:
            seqs = [seq for seq, _, _ in admission.granted]
            rows = self._do("claim_granted", seqs=_json(seqs).decode(), **self._by)
            self._room[queue] -= len(rows)
            self._rows += rows
        for parked in admission.parked:
            self._do("park", lane=parked.lane, gate=parked.gate, up=self._up)
            if parked.until:
                self._do("open_gate_at", gate=parked.gate, at=parked.until)
        if gate is not None:
            self._gates.record(gate)
            if admission.closed:
                self._do("open_gate_at", gate=gate.name, at=admission.closed)
        for one in turn.gates.values():
            self._gates.record(one)
            self._gates.hand_on(one)
        turn.write(admission)

    # --- suspects

    def suspects(self) -> list[Row]:
        limit = self._params["limit"]
        sort(self._do.run, ())  # gates stay as they are: the answer names no queues to look at
        between = {"least": self._params["least"], "most": self._params["most"], "limit": SUSPECTS}
        closed: set[tuple[str, int | None]] = set()
        for seq, queue, lane, resumed in self._do("suspect_heads", **between):
            if len(self._rows) >= limit:
                break
            if (queue, lane) in closed:
                continue
            gates = self._gates.of_lanes([lane]).get(lane, []) if lane else []
            if self._do("queue_state", queue=queue)[0][4]:
                gates = [self._gates.of_queue(queue), *gates]
            if any(gate.closed_until(self._up, not resumed) is not None for gate in gates):
                closed.add((queue, lane))
                continue
            self._rows += self._do("claim_granted", seqs=_json([seq]).decode(), **self._by)
            for gate in gates:
                gate.let_in(not resumed)
                self._gates.record(gate)
        return self._rows
