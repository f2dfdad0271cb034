"""Puts pending tasks into lanes: tasks that share queue, owner, kind and gates. A procedure of the writer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from quart_app.store.sqlite.transaction import Call, Row, Run

BATCH: Final = 2_000  # tasks put into lanes by one write
MAX_KEY: Final = 100  # characters of a key's value in the name of its gate
KEYED: Final = "/"  # between the name of a limit and the value of its key


class Statements:
    """Runs statements by their names, in the transaction of the caller."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self, name: str, /, **params: object) -> list[Row]:
        return self.run(name, params)


def gate_name(limit: str, value: Any) -> str:
    """The gate for one value of a limit's key."""
    text = msgspec.json.encode(value, order="sorted").decode()
    return limit + KEYED + (text if len(text) <= MAX_KEY else hashlib.sha256(text.encode()).hexdigest())


def limit_of(gate: str) -> str:
    """The name of the limit that this gate is of."""
    return gate.partition(KEYED)[0]


def sort(run: Run, calls: Sequence[Call]) -> list[Row]:
    """The procedure: put tasks that are in no lane yet where they belong. Returns their queues."""
    do = Statements(run)
    if not do("sort"):
        return []
    found = do("unsorted", limit=BATCH)
    places: dict[tuple[Any, ...], list[int]] = {}
    queues: dict[str, list[str]] = {}
    for seq, queue, owner, kind, lives, args, limits, paused, sole in found:
        gates: tuple[str, ...] = ()
        if limits is not None:
            values = msgspec.json.decode(args) if args else {}
            named = msgspec.json.decode(limits)
            gates = tuple(name if arg is None else gate_name(name, values.get(arg)) for name, arg in named)
        queues.setdefault(queue, []).append(owner)
        where = (queue, owner, kind, limits or "[]", gates, bool(paused), sole or "", bool(lives))
        places.setdefault(where, []).append(seq)
    soles = {queue: _new_sole(do, queue, owners) for queue, owners in queues.items()}
    for (queue, owner, kind, limits, gates, paused, sole, lives), seqs in places.items():
        new = soles[queue]
        plain = not gates and not paused and owner == (sole if new is None else new)
        lane = None if plain or not lives else _lane(do, queue, owner, kind, limits, gates)
        do("put_in_lane", lane=lane, seqs=msgspec.json.encode(seqs).decode())
    return [(queue,) for queue in queues]


SORT: Final = Call("sort", {}, procedure=sort)


def _new_sole(do: Statements, queue: str, owners: list[str]) -> str | None:
    """The owner for whom the queue is kept simple from now on, if these new tasks are all that it has."""
    if len(set(owners)) > 1 or do("unended_in_queue", queue=queue)[0][0] != len(owners):
        return None
    do("put_queue", queue=queue, sole=owners[0])
    return owners[0]


def _lane(do: Statements, queue: str, owner: str, kind: str, limits: str, gates: tuple[str, ...]) -> int:
    ((share, turn),) = do("put_share", queue=queue, owner=owner)
    wanted = {"share": share, "kind": kind, "limits": limits, "gates": msgspec.json.encode(gates).decode()}
    for (lane,) in do("find_lane", **wanted):
        return int(lane)
    ((lane,),) = do("put_lane", queue=queue, turn=turn, **wanted)
    for place, gate in enumerate(gates):
        do("put_gate", gate=gate, name=limit_of(gate))
        do("put_lane_gate", lane=lane, place=place, gate=gate)
    return int(lane)
