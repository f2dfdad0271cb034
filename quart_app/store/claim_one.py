"""Claims one task, whatever limits, pauses and the tasks before it say: the test kit runs the task that it is told to
run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quart_app.core.task import Claimed
from quart_app.store.lanes import Statements, sort
from quart_app.store.sqlite.database import Database
from quart_app.store.sqlite.transaction import Call, Row, Run
from quart_app.store.write_calls import claimed


async def claim_one(database: Database, worker: str, seq: int, now: int, code_version: str | None) -> Claimed:
    """Claim the task of this number, which must be pending and due. Raises StoreUnavailable."""
    params = {"seqs": msgspec.json.encode([seq]).decode(), "worker": worker, "now": now, "code_version": code_version}
    ((row,),) = await database.write([Call("claim", params=params, procedure=_claim_one)])
    return claimed(row)


def _claim_one(run: Run, calls: Sequence[Call]) -> list[Row]:
    sort(run, ())
    return Statements(run)("claim_granted", **(calls[0].params or {}))
