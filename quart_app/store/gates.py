"""Reads gates for the decisions of a claim, and writes what was let in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from quart_app.core.admission import Gate
from quart_app.core.claim_limits import OF_QUEUE
from quart_app.store.lanes import Statements
from quart_app.store.sqlite.transaction import Row

PAUSE_GATE: Final = "pause:"  # of a kind


class Gates:
    """`most`: how many tasks may be let in at once; `up`, `now`: the time in ms since the boot, and UTC."""

    def __init__(self, do: Statements, most: int, up: int, now: int) -> None:
        self._do = do
        self._most = most
        self._up = up
        self._now = now

    def one(self, name: str) -> Gate:
        for row in self._do("gate", gate=name):
            return self._gate(row)
        return Gate(name)

    def of_queue(self, queue: str) -> Gate:
        """The gate of a queue's limit. Its running tasks are counted with the queue."""
        name = OF_QUEUE + queue
        self._do("put_gate", gate=name, name=name)
        gate = self.one(name)
        if gate.room is not None:
            ((running,),) = self._do("running_in_queue", queue=queue)
            gate.room = max(gate.room - running, 0)
        return gate

    def of_lanes(self, lanes: Iterable[int]) -> dict[int, list[Gate]]:
        gates: dict[str, Gate] = {}
        found: dict[int, list[Gate]] = {}
        for lane, *row in self._do("gates_of_lanes", lanes=msgspec.json.encode(list(lanes)).decode()):
            if row[0] not in gates:
                gates[row[0]] = self._gate(tuple(row))
            found.setdefault(lane, []).append(gates[row[0]])
        return found

    def _gate(self, row: Row) -> Gate:
        name, room, rate, window, started = row
        dates: dict[int, int] = {}
        if rate is not None:
            dates = dict(self._do("gate_starts", gate=name, low=started - rate, limit=self._most + 1))
        return Gate(name, None if room is None else max(room, 0), rate, window or 0, started, dates)

    def record(self, gate: Gate) -> None:
        """Write the starts that the gate let in."""
        if gate.rate is None or not gate.starts:
            return
        places = msgspec.json.encode(list(range(gate.starts))).decode()
        self._do("put_starts", gate=gate.name, places=places, up=self._up, now=self._now)
        self._do("count_starts", gate=gate.name, count=gate.starts)
        self._do("drop_starts", gate=gate.name, rate=gate.rate)

    def hand_on(self, gate: Gate) -> None:
        """Lanes that are parked on a gate that is still open are to be let in."""
        if gate.closed_until(self._up, False) is not None:
            return
        waiting = "parked_on" if gate.closed_until(self._up) is None else "resumed_parked_on"
        if self._do(waiting, gate=gate.name):
            self._do("dirty_gate", gate=gate.name)
