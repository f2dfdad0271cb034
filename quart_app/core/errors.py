"""The exceptions. Every error that a user can cause has one of these types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class QuartAppError(Exception):
    """Base of all errors of this project."""


class StartupError(QuartAppError):
    """The process cannot serve. `str()` is the one line for stderr, `exit_code` the code of `serve`."""

    exit_code = 78


class ConfigError(StartupError):
    """A setting, a task module or the schema of the database cannot be used by this version."""


class StoreBusy(StartupError):
    """Another server holds the database."""

    exit_code = 75


class StoreBroken(StartupError):
    """The database is unreadable, read-only, damaged or was replaced."""

    exit_code = 74


class StoreUnavailable(QuartAppError):
    """The store cannot write (or read) now: nothing of the call took effect. It may be tried again.

    One exception: when the sync of a COMMIT fails, the store is broken and the state of the disk is unknown. The server
    ends at once; for a caller in another process, the call may have taken effect by the next start."""


class ReadTooLong(StoreUnavailable):
    """A statement that walks many rows took longer than allowed. Trying it again at once does not help."""


class InvalidInput(QuartAppError):
    """The request of a client cannot be read at all (400). `pointer` is a JSON Pointer, or None."""

    def __init__(self, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class InvalidArgs(QuartAppError):
    """Well-formed input that the kind or option does not accept (422). `errors`: (JSON Pointer, detail) pairs."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or '(args)'}: {detail}" for pointer, detail in errors))
        self.errors = tuple(errors)
        self.index: int | None = None
        """The index of the wrong request among several."""


class ArgsTooLarge(InvalidArgs):
    """The args are over QUART_APP_MAX_ARGS (413)."""

    def __init__(self, detail: str) -> None:
        super().__init__([("", detail)])


class UnknownStep(InvalidArgs):
    """The task has recorded no such step (422)."""

    def __init__(self, step: str) -> None:
        super().__init__([("/from", f"the task has recorded no step {step!r:.250}")])


class VersionChanged(QuartAppError):
    """The task has another version than those that the request is for (412)."""


class UnknownKind(QuartAppError):
    """No such kind is registered (404)."""

    index: int | None = None


class ScopeNeeded(QuartAppError):
    """Tasks of this kind need a key with another scope (403). `str()` names kind and scope."""

    def __init__(self, kind: str, scope: str) -> None:
        super().__init__(f"{kind} needs a key with the scope {scope}")
        self.scope = scope


class TaskNotFound(QuartAppError):
    """No such task, or a task of another owner; both give the same answer (404)."""


class WrongState(QuartAppError):
    """The task's status does not allow the request (409). `status` is its status."""

    def __init__(self, detail: str, status: str) -> None:
        super().__init__(detail)
        self.status = status


class IdempotencyConflict(QuartAppError):
    """An Idempotency-Key was used before with another kind, args or options (422)."""


class DuplicateTask(QuartAppError):
    """A task with this unique key has not ended (409). `task_id` is that task; None: it stands before this one in the
    same batch. `index`: the place of the refused one among several."""

    def __init__(self, task_id: str | None, key: str, index: int = 0) -> None:
        whose = f"task {task_id}" if task_id is not None else "a task before it in this batch"
        super().__init__(f"{whose} holds the unique key {key!r:.210} and has not ended")
        self.task_id = task_id
        self.key = key
        self.index = index


class KeyedTaskGone(QuartAppError):
    """The task of this Idempotency-Key was deleted; the key is still in use (410)."""


class QueueFull(QuartAppError):
    """The allowed number of tasks is due and waiting (503)."""


class DiskLow(QuartAppError):
    """The disk has less room than new work may take (503)."""


class TooManyStreams(QuartAppError):
    """The allowed number of event streams is open, in all or for one caller (503)."""


class Draining(QuartAppError):
    """The server is stopping or still starting (503)."""


class UploadNotFound(QuartAppError):
    """No such upload, or an upload of another owner. `str()` is its id."""


class UploadsFull(QuartAppError):
    """The allowed number of uploads waits for a task to use them (503)."""


class KeyNotFound(QuartAppError):
    """No such API key (404)."""


class KeyConflict(QuartAppError):
    """An API key of this name exists already, or is in the settings (409)."""


class KeyGone(QuartAppError):
    """The caller's key, or the key of a schedule's owner, is no longer valid (401)."""


class KindRefused(QuartAppError):
    """The key may not start tasks of this kind (403)."""


class LimitNotFound(QuartAppError):
    """No such limit (404)."""


class QueueNotFound(QuartAppError):
    """Nothing was ever in a queue of this name, and nobody has set anything for it (404)."""


class ScheduleNotFound(QuartAppError):
    """No such schedule, or a schedule of another owner; both give the same answer (404)."""


class ErrorGroupNotFound(QuartAppError):
    """No task, or none of the caller's, has failed so (404). `str()` is the fingerprint."""


class ScheduleConflict(QuartAppError):
    """The name is in use, the owner has the allowed number, or the code declares the schedule (409)."""


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
    """Raise in a handler to end the task `failed` at once, even if attempts are left."""


class Foreseen(Exception):
    """An expected failure outside of the code. It gives one line in the log without a traceback, which is for bugs. The
    rules of the kind decide whether the task is retried, as for any other error."""


class SignalsFull(QuartAppError):
    """A task has as many signals as it may, that no wait has taken (429)."""


class ChildFailed(QuartAppError, Foreseen):
    """A child that `ctx.gather` asked for did not complete. `status` is failed, cancelled or deleted; `error` is the
    text of its error, `error_type` the name."""

    def __init__(
        self, task_id: str, kind: str, status: str, error_type: str | None = None, error: str | None = None
    ) -> None:
        why = f": {error_type}: {error}" if error_type else ""
        super().__init__(f"child {task_id} ({kind}) {status}{why}")
        self.task_id = task_id
        self.kind = kind
        self.status = status
        self.error_type = error_type
        self.error = error


class SignalTimeout(QuartAppError, Foreseen, TimeoutError):
    """No signal came within the `timeout` of `ctx.wait_signal`."""


class TooDeep(NonRetryable):
    """A task of the last generation that QUART_APP_MAX_DEPTH allows asks for a child."""


class TooManyChildren(NonRetryable):
    """A task would have more children than QUART_APP_MAX_CHILDREN allows."""


class ResourceFailed(QuartAppError):
    """A resource that `ctx.resource` asks for cannot be opened; `__cause__` is its error. The task may be tried again,
    whatever errors its kind retries, and the next use opens the resource anew."""


class HistoryFull(NonRetryable):
    """A task emits more than its history takes: 100,000 events, those of earlier runs included."""


class ClaimLost(asyncio.CancelledError):
    """The run no longer holds its task: it must stop and write nothing. Not an `Exception`, so that a handler's
    `except Exception` does not swallow it."""


class StoreClosed(StoreUnavailable):
    """The store is closing: this process will not write again."""
