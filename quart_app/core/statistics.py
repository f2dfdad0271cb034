"""What is told of the tasks of a kind."""

from __future__ import annotations

import msgspec


class KindFigures(msgspec.Struct, frozen=True):
    """Of one kind's tasks that ended in some time; the field order is that of the statement `kind_figures`. `runs`
    counts their attempts and what a stop or a crash cut short; the percentiles are of their last run, in ms."""

    kind: str
    completed: int
    failed: int
    cancelled: int
    runs: int
    p50_ms: int | None
    p95_ms: int | None
