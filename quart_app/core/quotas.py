"""Quotas: what one owner (the name of a key) may have at most. The owner "" is the operator and has none."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from quart_app.core.errors import QuartAppError

MAX_QUEUES: Final = 100  # queues in which one owner may have tasks at a time
MOST: Final = 10**15


class Quotas(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """None: no quota. `waiting`: tasks that are due; `delayed`: all others that are pending; `bytes`: of args, results,
    steps, uploads and files; `requests`: those that are being answered; `rate`: requests in any second."""

    waiting: Annotated[int, Meta(ge=1, le=MOST, description="Tasks that are due and wait")] | None = None
    delayed: (
        Annotated[int, Meta(ge=1, le=MOST, description="Tasks that wait for their time, a signal, or others")] | None
    ) = None
    bytes: Annotated[int, Meta(ge=1, le=MOST, description="Of args, results, steps, uploads and files")] | None = None
    uploads: Annotated[int, Meta(ge=1, le=MOST, description="Uploads that are kept")] | None = None
    schedules: Annotated[int, Meta(ge=1, le=MOST, description="Schedules")] | None = None
    requests: Annotated[int, Meta(ge=1, le=MOST, description="Requests that are being answered")] | None = None
    rate: Annotated[int, Meta(ge=1, le=100_000, description="Requests in any second")] | None = None

    def over(self, default: Quotas) -> Quotas:
        """These, and those of `default` where there is none."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(default, **given)


NAMES: Final = Quotas.__struct_fields__


def text_of(quotas: Quotas | None) -> str:
    """As the command line takes them: `waiting=100,rate=5`."""
    given = msgspec.structs.asdict(quotas) if quotas is not None else {}
    return ",".join(f"{name}={value}" for name, value in given.items() if value is not None)


class Usage(msgspec.Struct, frozen=True):
    """What an owner has now, under the names of Quotas. `queues`: those in which it has tasks that have not ended."""

    waiting: int = 0
    delayed: int = 0
    bytes: int = 0
    uploads: int = 0
    schedules: int = 0
    queues: frozenset[str] = frozenset()


class QuotaExceeded(QuartAppError):
    """An owner has as much as its quota allows (429). `quota`: its name; `retry_after` in seconds."""

    def __init__(self, quota: str, used: int, limit: int) -> None:
        text = TEXTS[quota].format(limit=f"{limit:,}", used=f"{used:,}")
        super().__init__(f"the quota is used up: {text}")
        self.quota = quota
        self.used = used
        self.limit = limit
        self.retry_after = RETRY_AFTER[quota]


TEXTS: Final = {
    "waiting": "{used} tasks are due and waiting, of {limit}",
    "delayed": "{used} tasks are delayed, of {limit}",
    "bytes": "{used} bytes are kept, of {limit}",
    "uploads": "{used} uploads are kept, of {limit}",
    "schedules": "there are {used} schedules, of {limit}",
    "requests": "{used} requests are being answered, of {limit}",
    "rate": "{limit} requests in any second are allowed",
}
RETRY_AFTER: Final = {
    "waiting": 5,
    "delayed": 30,
    "bytes": 60,
    "uploads": 60,
    "schedules": 60,
    "requests": 2,
    "rate": 1,
}
"""Seconds after which it is worth asking again."""
