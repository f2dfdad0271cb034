"""Pure functions that decide what happens to a task: rows and outcomes in, a named decision out.

`TRANSITIONS` is the table of docs/explanation/statuses.md. The statements of `store/sqlite/*.sql` implement it, a
trigger of the schema guards it, and the conformance tests prove the three equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from quart_app.core.flow import Wait
from quart_app.core.retry import Backoff
from quart_app.core.task import Claimed, Orphan, TaskError

# cause -> (statuses it may start from, status it leads to)
TRANSITIONS: Final[dict[str, tuple[frozenset[str], str]]] = {
    "enqueue": (frozenset(), "pending"),
    "claim": (frozenset({"pending"}), "processing"),
    "complete": (frozenset({"processing"}), "completed"),
    "retry": (frozenset({"processing"}), "pending"),
    "fail": (frozenset({"processing"}), "failed"),
    "suspend": (frozenset({"processing"}), "pending"),
    "release": (frozenset({"processing"}), "pending"),
    "cancel": (frozenset({"pending", "processing"}), "cancelled"),
    "cancel_requested": (frozenset({"processing"}), "processing"),
    "expire": (frozenset({"pending"}), "failed"),
    "rerun": (frozenset({"failed", "cancelled"}), "pending"),
}
# A crash leads to pending, or to failed when the task is poisoned.
CRASH: Final = (frozenset({"processing"}), frozenset({"pending", "failed"}))

SUSPECT_CRASHES: Final = 2
# Suspects with 2, 3 and 4 crashes may hold the slots divided by this number; those with more run one at a time.
SUSPECT_GROUPS: Final = (2, 8, 32)
SUSPECT_SEAT_SECONDS: Final = 10.0
MOST_SEAT_SECONDS: Final = 3600.0
SOLE_CRASHES: Final = 3  # crashes that no other task can have caused, before a task is called poisoned
# Pause before the run after the n-th crash, in ms: the first two resume at once, suspects wait longer and longer.
CRASH_PAUSES_MS: Final = (0, 0, 1_000, 5_000, 30_000, 120_000)


# How a run ended, as the runner saw it.
class Succeeded(msgspec.Struct, frozen=True):
    result: str  # JSON text


class Raised(msgspec.Struct, frozen=True):
    """`retryable` is the kind's rule for this error; `after_ms` overrides the backoff (`raise Retry(after=…)`)."""

    error: TaskError
    retryable: bool = True
    after_ms: int | None = None


class Cancelled(msgspec.Struct, frozen=True):
    """A cancel was requested, and the handler has ended or was abandoned."""


class Stopped(msgspec.Struct, frozen=True):
    """The server is stopping; the handler was interrupted. The attempt does not count."""


class Unregistered(msgspec.Struct, frozen=True):
    """No handler for this kind exists in this process."""


class MustWait(msgspec.Struct, frozen=True):
    """The handler has left because its task waits."""

    wait: Wait


Outcome = Succeeded | Raised | Cancelled | Stopped | Unregistered | MustWait


# What to do about it.
class Complete(msgspec.Struct, frozen=True):
    result: str


class RetryAt(msgspec.Struct, frozen=True):
    run_at: int
    error: TaskError


class Fail(msgspec.Struct, frozen=True):
    error: TaskError


class Cancel(msgspec.Struct, frozen=True):
    pass


class Release(msgspec.Struct, frozen=True):
    pass


class Suspend(msgspec.Struct, frozen=True):
    waiting_for: str


class SuspendFor(msgspec.Struct, frozen=True):
    wait: Wait


class Resume(msgspec.Struct, frozen=True):
    """After a crash: pending again, with one crash more. `run_at` None: at once, in its old place in the queue."""

    run_at: int | None


Decision = Complete | RetryAt | Fail | Cancel | Release | Suspend | SuspendFor


def after_run(task: Claimed, outcome: Outcome, now: int, backoff: Backoff, random: Callable[[], float]) -> Decision:
    """Decide what becomes of a run that ended. `random` gives [0, 1) and is used for the jitter of a retry."""
    match outcome:
        case Succeeded(result):
            return Complete(result)
        case Cancelled():
            return Cancel()
        case Stopped():
            return Release()
        case Unregistered():
            return Suspend(waiting_for=f"kind:{task.kind}")
        case MustWait(wait):
            return SuspendFor(wait)
        case Raised(error, retryable, after_ms):
            error = msgspec.structs.replace(error, retryable=retryable)
            if not retryable or task.attempt >= task.max_attempts:
                return Fail(error)
            delay = after_ms if after_ms is not None else backoff.delay_ms(task.attempt, random())
            return RetryAt(run_at=now + delay, error=error)


def after_crash(orphan: Orphan, now: int, max_crashes: int) -> Resume | Cancel | Fail:
    """Decide what becomes of a task whose worker died while it ran.

    It is poisoned after `max_crashes`, unless others may have caused them: tasks that ran beside it then, and that have
    not made headway since."""
    if orphan.cancel_requested:
        return Cancel()
    crashes = orphan.crashes + 1
    if crashes >= max_crashes and orphan.sole >= sole_crashes(max_crashes):
        message = f"its process died {crashes} times while it ran, without recording a step in between"
        return Fail(TaskError(type="poisoned", message=message, retryable=False))
    pause = CRASH_PAUSES_MS[min(crashes - 1, len(CRASH_PAUSES_MS) - 1)]
    return Resume(run_at=now + pause if pause else None)


def sole_crashes(max_crashes: int) -> int:
    """How many crashes that no other task can have caused make a task poisoned. A low `max_crashes` leaves no room for
    them: until it is a suspect, a task runs beside all other tasks."""
    return min(SOLE_CRASHES, max(max_crashes - SUSPECT_CRASHES, 0))


def suspect_seats(concurrency: int, max_crashes: int) -> list[int]:
    """How many suspects may run at once, of `concurrency` slots: the first number holds when one of them has 2 crashes,
    the second when one has 3, and so on; the last number holds for more.

    All running tasks become suspects when the server is killed twice, so at first many may run together. Each crash
    makes the groups smaller, until the task that causes the crashes runs alone, before others reach `max_crashes`."""
    groups = SUSPECT_GROUPS[: max(max_crashes - SUSPECT_CRASHES - SOLE_CRASHES, 0)]
    return [max(concurrency // part, 1) for part in groups] + [1]


def suspect_seconds(lived_ms: int) -> float:
    """How many seconds a suspect holds its seat. One that has run for much longer than it ever had at a crash makes
    room for the others. At most an hour: `lived_ms` comes from the wall clock and may be far too long."""
    return min(max(SUSPECT_SEAT_SECONDS, 2 * lived_ms / 1000), MOST_SEAT_SECONDS)
