"""What the audit log keeps: administrative acts, and keys that were refused."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

OPERATOR: Final = "operator"  # whoever may open the control socket
LOCAL: Final = "local"  # this machine, while there are no keys
REFUSED: Final = "key.refused"

ActName = Literal[
    "key.add", "key.rotate", "key.revoke", "key.refused",
    "task.cancel", "task.retry", "task.delete",
    "schedule.change", "schedule.delete", "schedule.trigger",
]  # fmt: skip


class Actor(msgspec.Struct, frozen=True):
    """`name`: `key:NAME`, `operator` or `local`; `peer`: where it came from."""

    name: str
    peer: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One row; times in ms UTC. A refusal stands for `times` of them, the last at `last_at`."""

    at: int
    act: str
    actor: str = ""
    peer: str = ""
    target: str = ""
    detail: str = ""
    times: int = 1
    last_at: int
    seq: int = 0
