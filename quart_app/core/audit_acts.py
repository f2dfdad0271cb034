"""The rows of the audit log: administrative acts, and refused keys."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

OF_KEY: Final = "key:"  # before the name of a key
OPERATOR: Final = "operator"  # a user who may open the control socket
LOCAL: Final = "local"  # this machine, while there are no keys
REFUSED: Final = "key.refused"

ActName = Literal[
    "key.add", "key.rotate", "key.revoke", "key.refused",
    "task.start", "task.cancel", "task.retry", "task.delete", "task.signal", "task.fork",
    "task.change", "task.bulk",
    "schedule.add", "schedule.change", "schedule.delete", "schedule.trigger",
    "limit.change", "queue.change", "queue.pause", "queue.resume", "kind.pause", "kind.resume",
]  # fmt: skip


class Actor(msgspec.Struct, frozen=True):
    """`name`: `key:NAME`, `operator` or `local`; `peer`: where it came from."""

    name: str
    peer: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One row; times in ms UTC. A row of refusals counts `times` of them, the last at `last_at`."""

    at: int
    act: str
    actor: str = ""
    peer: str = ""
    target: str = ""
    detail: str = ""
    times: int = 1
    last_at: int
    seq: int = 0
