"""Tasks and their parts as types. All times are integer milliseconds UTC; documents are JSON text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from quart_app.core.unique import OnDuplicate

OnEnd = Callable[[str, str, float | None], None]
"""Called with every end of a run or a task once it is on record: the kind, the outcome, and the seconds the handler
took (None: no handler ran)."""

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]

STATUSES: Final[tuple[Status, ...]] = ("pending", "processing", "completed", "failed", "cancelled")
OUTCOMES: Final = (
    *("completed", "failed", "cancelled", "expired", "poisoned"),  # the task has ended
    *("retry", "release", "suspend", "crash"),  # it goes on
)
TERMINAL: Final[frozenset[str]] = frozenset({"completed", "failed", "cancelled"})

KIND_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,99}"
DEFAULT_QUEUE: Final = "default"
CPU_QUEUE: Final = "cpu"  # of kinds that run in child processes, unless they name another


class TaskError(msgspec.Struct, frozen=True):
    """One run's error. `message` is at most 4 KB; `traceback` is for the history, never for the task itself."""

    type: str
    message: str
    retryable: bool = True
    traceback: str | None = None
    place: str | None = None
    """Where in the handler's own code."""


class NewTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task about to be enqueued; every value is checked. `fingerprint` tells two uses of one key apart.

    `delay_ms`: `run_at` minus `created_at`; None: no delay, or `run_at` is a date that the caller gave. `keys_before`:
    idempotency keys that expired by this time are free again; None: by `created_at`."""

    id: str
    kind: str
    args: str
    queue: str
    owner: str
    priority: int
    created_at: int
    run_at: int
    max_attempts: int
    timeout_ms: int
    delay_ms: int | None = None
    expires_at: int | None = None
    retention_ms: int | None = None
    tags: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    traceparent: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""
    key_expires_at: int = 0
    keys_before: int | None = None
    unique_key: str | None = None
    on_duplicate: OnDuplicate = "return"
    debounce_ms: int | None = None

    @property
    def ready(self) -> bool:
        return self.run_at <= self.created_at

    @property
    def keyed(self) -> bool:
        """It may stand for a task that is there already."""
        return self.idempotency_key is not None or self.unique_key is not None


class Enqueued(msgspec.Struct, frozen=True):
    """What `enqueue` answers for one task: a new one, or (`replayed`) the one its idempotency key already made, or
    (`duplicate`) the one that holds its unique key."""

    id: str
    status: Status
    replayed: bool = False
    duplicate: bool = False


class Claimed(msgspec.Struct, frozen=True):
    """What a run needs of its task. `fence` goes into every write of the run. The field order is that of the statements
    `claim` and `claim_suspects`. `lived_ms`: the longest time it had run when its process died."""

    id: str
    fence: int
    kind: str
    args: str
    queue: str
    owner: str
    attempt: int
    max_attempts: int
    crashes: int
    lived_ms: int
    timeout_ms: int
    traceparent: str | None
    cancel_requested: bool
    has_steps: bool
    depth: int = 1
    parent_queue: str | None = None


class Orphan(msgspec.Struct, frozen=True):
    """A `processing` row that no process runs any more; input of `lifecycle.after_crash`. `sole`: how many of its
    crashes, including this one, no other task can have caused."""

    id: str
    fence: int
    crashes: int
    cancel_requested: bool
    kind: str
    worker: str = ""
    sole: int = 0


class Task(msgspec.Struct, frozen=True):
    """A task as it is read. The field order is that of the statements `get` and `find`."""

    seq: int
    id: str
    kind: str
    queue: str
    owner: str
    status: Status
    cause: str
    priority: int
    run_at: int
    attempt: int
    max_attempts: int
    crashes: int
    version: int
    created_at: int
    started_at: int | None
    completed_at: int | None
    cancel_requested_at: int | None
    waiting_for: str | None
    tags: str | None
    parent_id: str | None
    children: int | None
    children_ended: int | None
    children_failed: int | None
    forked_from: str | None
    unique_key: str | None
    code_version: str | None
    args: str | None
    result: str | None
    done: float | None
    total: float | None
    message: str | None
    error_type: str | None
    error_message: str | None
    error_attempt: int | None
    error_retryable: int | None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What `find` looks for; None means any. `before_seq` is the cursor (exclusive), newest first."""

    owner: str | None = None
    status: str | None = None
    kind: str | None = None
    queue: str | None = None
    tag: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    parent: str | None = None
    waiting_for: str | None = None
    unique_key: str | None = None
    code_version: str | None = None
    error: str | None = None
    """A fingerprint: tasks that have failed so."""
    before_seq: int | None = None
    limit: int = 50
    documents: bool = False


class Event(msgspec.Struct, frozen=True):
    """One row of the history of a task. `name` is status, progress, log or step; `data` JSON text or None."""

    seq: int
    task_id: str
    at: int
    name: str
    status: Status
    cause: str
    attempt: int
    data: str | None


class FeedEvent(msgspec.Struct):
    """An event of the feed. Its renderings are kept, so that each is made once for any number of subscribers: `sse` is
    a frame of text/event-stream, `text` a JSON text."""

    event: Event
    kind: str = ""
    owner: str = ""
    sse: bytes | None = None
    text: str | None = None

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return 256 + len(self.event.data or "")

    @property
    def terminal(self) -> bool:
        """The task has ended with this event (a rerun may follow)."""
        return self.event.name == "status" and self.event.status in TERMINAL


class StepRecord(msgspec.Struct, frozen=True):
    name: str
    type: str
    output: str
    attempt: int
    at: int


class StepName(msgspec.Struct, frozen=True):
    """A recorded step without its output, unless that is small. `size` in bytes."""

    name: str
    type: str
    size: int
    output: str | None


class ErrorRecord(msgspec.Struct, frozen=True):
    fence: int
    attempt: int
    at: int
    type: str
    message: str
    retryable: int
    traceback: str | None


class Count(msgspec.Struct, frozen=True):
    """How many tasks there are of one queue, kind and status; `ready` tells due from delayed among the pending."""

    queue: str
    kind: str
    status: Status
    ready: int
    n: int


def ignore(kind: str, outcome: str, seconds: float | None) -> None:
    """The `OnEnd` that does nothing."""
