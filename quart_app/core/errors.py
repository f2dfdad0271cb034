"""The exception family: every error a person can cause has one of these types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class QuartAppError(Exception):
    """Base of all errors of this project."""


class StartupError(QuartAppError):
    """The process cannot serve. `str()` is the one line for stderr, `exit_code` the code of `serve` (README)."""

    exit_code = 78


class ConfigError(StartupError):
    """A setting, a task module or the database's schema is not what this version can work with."""


class StoreBusy(StartupError):
    """Another server holds the database."""

    exit_code = 75


class StoreBroken(StartupError):
    """The database is unreadable, read-only, damaged or was replaced."""

    exit_code = 74


class StoreUnavailable(QuartAppError):
    """The store cannot write (or read) now: nothing of the call took effect. Worth trying again.

    One exception: when the sync of a COMMIT fails, the store is broken and nobody can know what is on the disk. The
    server ends at once; in somebody else's process the call may have taken effect by the next start."""


class ReadTooLong(StoreUnavailable):
    """A statement that walks many rows took longer than it may. The same one is not worth trying again at once."""


class InvalidInput(QuartAppError):
    """What a client sent cannot be read at all (400). `pointer` is a JSON Pointer where there is one."""

    def __init__(self, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class InvalidArgs(QuartAppError):
    """Well-formed, but not what the kind or option takes (422). `errors`: (JSON Pointer, what is wrong) pairs."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or '(args)'}: {detail}" for pointer, detail in errors))
        self.errors = tuple(errors)
        self.index: int | None = None
        """Which of several requests was meant."""


class ArgsTooLarge(InvalidArgs):
    """The args are over QUART_APP_MAX_ARGS (413)."""

    def __init__(self, detail: str) -> None:
        super().__init__([("", detail)])


class UnknownKind(QuartAppError):
    """No such kind is registered (404)."""

    index: int | None = None


class ScopeNeeded(QuartAppError):
    """Tasks of this kind are for keys with another scope (403). `str()` names kind and scope."""

    def __init__(self, kind: str, scope: str) -> None:
        super().__init__(f"{kind} needs a key with the scope {scope}")
        self.scope = scope


class TaskNotFound(QuartAppError):
    """No such task, or another owner's: the two look the same (404)."""


class WrongState(QuartAppError):
    """The task's status does not allow what was asked (409). `status` is the status it has."""

    def __init__(self, detail: str, status: str) -> None:
        super().__init__(detail)
        self.status = status


class IdempotencyConflict(QuartAppError):
    """An Idempotency-Key was used before with another kind, args or options (422)."""


class KeyedTaskGone(QuartAppError):
    """The task of this Idempotency-Key was deleted; the key still holds (410)."""


class QueueFull(QuartAppError):
    """As many tasks as allowed are due and waiting (503)."""


class TooManyStreams(QuartAppError):
    """As many event streams are open as allowed, in all or for one caller (503)."""


class Draining(QuartAppError):
    """The server is stopping or still starting (503)."""


class UploadNotFound(QuartAppError):
    """No such upload, or another owner's. `str()` is its id."""


class UploadsFull(QuartAppError):
    """As many uploads as allowed wait for a task to use them (503)."""


class KeyNotFound(QuartAppError):
    """No such API key (404)."""


class KeyConflict(QuartAppError):
    """An API key of this name exists already, or stands in the settings (409)."""


class KeyGone(QuartAppError):
    """The caller's key, or that of a schedule's owner, opens nothing any more (401)."""


class KindRefused(QuartAppError):
    """The key may not start tasks of this kind (403)."""


class ScheduleNotFound(QuartAppError):
    """No such schedule, or another owner's: the two look the same (404)."""


class ScheduleConflict(QuartAppError):
    """The name is in use, the owner has as many as allowed, or the code says otherwise (409)."""


class TaskFailed(QuartAppError):
    """Raised by `TaskHandle.result()` when the task ended `failed` or `cancelled`."""


class Retry(Exception):
    """Raise in a handler to run the task again after `after` seconds (default: the kind's backoff).

    Counts as an attempt: when none is left, the task fails.
    """

    def __init__(self, message: str = "retry requested", *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class NonRetryable(Exception):
    """Raise in a handler to end the task `failed` at once, whatever attempts are left."""


class Foreseen(Exception):
    """Something outside of the code failed, as such things do: one line in the log, without a traceback, which is for
    bugs. Whether the task is tried again is the kind's rule, as for any other error."""


class ClaimLost(asyncio.CancelledError):
    """The run no longer holds its task: it must stop and write nothing. Not an `Exception`, so that a handler's
    `except Exception` does not swallow it."""


class StoreClosed(StoreUnavailable):
    """The store is closing: this process will not write again."""
