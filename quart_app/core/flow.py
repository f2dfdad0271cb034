"""What a task waits for while it is suspended, and what it has recorded of that. All times are ms UTC."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_STEP_NAME: Final = 200  # characters of what is recorded under a name
MAX_SIGNALS: Final = 1000  # of one task, that no wait has taken
MAX_SIGNAL: Final = 256 * 1024  # bytes of the data of one

SIGNAL_PREFIX: Final = "signal:"


class Record(msgspec.Struct, frozen=True):
    """What a run has recorded under a name: `type` as in the table `steps`, `output` JSON text; `ordinal` is its place
    among the names that the run has used."""

    name: str
    type: str
    output: str
    ordinal: int


class Sleeping(msgspec.Struct, frozen=True):
    """Until `until`. `delay_ms`: that is so long after the moment of asking; None: it is a date of its own."""

    record: Record
    until: int
    delay_ms: int | None = None


class ForChildren(msgspec.Struct, frozen=True):
    ids: tuple[str, ...]


class ForSignal(msgspec.Struct, frozen=True):
    """`until`: the time limit, `delay_ms` after the moment of asking; None: there is none."""

    record: Record
    name: str
    until: int | None = None
    delay_ms: int | None = None


Wait = Sleeping | ForChildren | ForSignal


class ChildOutcome(msgspec.Struct, frozen=True):
    """`result`: JSON text of a completed one."""

    id: str
    status: str
    kind: str = ""
    result: str | None = None
    error_type: str | None = None
    error_message: str | None = None


class WaitingTask(msgspec.Struct, frozen=True):
    """A task that waits for a signal. The field order is that of the statement `waiting`."""

    seq: int
    id: str
    kind: str
    signal: str
    since: int
    timeout_at: int | None
