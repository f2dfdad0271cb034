"""The contract of a store: one method a verb. `tests/store/conformance.py` holds every store to it.

All times are integer milliseconds UTC and come from the caller. Every write of a run names its fence; when the run no
longer holds the task the write changes nothing and says so (False). Writes raise StoreUnavailable when nothing was
written and a later try may succeed. A caller that is cancelled while it waits neither stops nor splits its write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from quart_app.core.budget import Budget
from quart_app.core.keys import Key
from quart_app.core.limits import Hold, LimitedCall, Moment
from quart_app.core.schedule import Schedule
from quart_app.core.statistics import KindFigures
from quart_app.core.task import (
    Claimed,
    Count,
    Enqueued,
    ErrorRecord,
    Event,
    FeedEvent,
    NewTask,
    Orphan,
    StepRecord,
    Task,
    TaskError,
    TaskFilter,
)

CancelAnswer = Literal["cancelled", "requested", "ended", "unknown"]
FireAnswer = Literal["fired", "known", "changed"]


class Listener(Protocol):
    """Doorbells, called after COMMIT on the event loop. Losing one costs latency, never a task; they must not raise."""

    def task_coming(self, queue: str) -> None:
        """Called before the transaction: it will make a task of this queue that may be claimed."""

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        """A task of this queue may be claimed."""

    def task_due_at(self, at: int) -> None:
        """A task becomes due, or expires, at this time."""

    def task_changed(self, task_id: str) -> None:
        """What `get` says of this task changed."""

    def schedule_due_at(self, at: int) -> None:
        """A schedule was made or changed, and fires at this time."""

    def store_broken(self, reason: str) -> None:
        """The database is damaged or gone: the process must stop (exit 74)."""


class Store(Protocol):
    worker: str
    """Name of this process among the workers; a `processing` row of another name is an orphan."""

    # --- creating
    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        """Insert all or none. Raises IdempotencyConflict, KeyedTaskGone or UploadNotFound (then nothing was
        inserted)."""
        ...

    async def known_keys(self, tasks: Sequence[NewTask]) -> bool:
        """Whether the idempotency keys of all these tasks are in use: enqueueing them would make nothing new."""
        ...

    # --- a run: claim, writes under its fence, one end
    async def claim(self, queue: str, limit: int, now: int) -> list[Claimed]:
        """Take up to `limit` ready tasks of the queue, by priority, then due time, then age; suspects are left out."""
        ...

    async def claim_suspect(self, now: int) -> list[Claimed]:
        """Take at most one ready task that two or more crashes have made a suspect."""
        ...

    async def steps(self, task_id: str, budget: Budget | None = None) -> list[StepRecord]: ...

    async def record_step(
        self, task_id: str, fence: int, name: str, output: str, ordinal: int, now: int, clear_crashes: bool
    ) -> bool: ...

    async def progress(
        self, task_id: str, fence: int, done: float | None, total: float | None, message: str | None, now: int
    ) -> bool: ...

    async def log(self, task_id: str, fence: int, data: str, now: int) -> bool: ...

    async def complete(self, task_id: str, fence: int, result: str, now: int) -> bool: ...

    async def retry(self, task_id: str, fence: int, error: TaskError, run_at: int, now: int) -> bool: ...

    async def fail(self, task_id: str, fence: int, error: TaskError, now: int) -> bool: ...

    async def suspend(self, task_id: str, fence: int, waiting_for: str, now: int) -> bool: ...

    async def release(self, task_id: str, fence: int, queue: str, now: int) -> bool: ...

    async def end_cancelled(self, task_id: str, fence: int, now: int) -> bool:
        """The run acknowledges the cancel that was asked of it."""
        ...

    # --- a person's hand
    async def cancel(self, task_id: str, now: int) -> CancelAnswer: ...

    async def rerun(self, task_id: str, restart: bool, now: int) -> bool:
        """False unless failed or cancelled. `restart` forgets the recorded steps."""
        ...

    async def delete(self, task_id: str) -> bool:
        """False unless ended."""
        ...

    # --- upkeep, in small bites
    async def stage(self, now: int, limit: int) -> int:
        """Make delayed tasks whose time has come ready; how many."""
        ...

    async def expire(self, now: int, limit: int) -> list[str]:
        """End tasks that were to start before now; their kinds."""
        ...

    async def next_due(self) -> int | None:
        """When the next delayed task is due or expires."""
        ...

    async def unpark(self, kinds: Sequence[str], now: int, limit: int) -> int:
        """Let tasks go on that waited for one of these kinds to be registered."""
        ...

    async def orphans(self, limit: int) -> list[Orphan]:
        """Tasks `processing` under another worker's name. On SQLite the lock proves that it is dead."""
        ...

    async def crash(self, task_id: str, fence: int, run_at: int | None, now: int) -> bool:
        """`run_at` None: at once, in the place the task had in its queue."""
        ...

    async def crash_out(self, task_id: str, fence: int, error: TaskError, now: int) -> bool: ...

    async def prune(self, now: int, before: int | None, limit: int) -> int:
        """Delete ended tasks: those that ended before `before`, and those whose own retention is over; expired
        idempotency keys; and fires that are a day old. How many rows went."""
        ...

    async def prune_counters(self, limit: int) -> int:
        """Forget the queues and kinds of which there is nothing to count. How many rows went."""
        ...

    # --- reading
    async def get(self, task_id: str) -> Task | None: ...

    # With a budget, rows are read for as long as their documents fit it, and none after.
    async def find(self, wanted: TaskFilter, budget: Budget | None = None) -> list[Task]: ...

    async def probe(self) -> None:
        """A write of nothing, to find out whether writing works."""
        ...

    async def counts(self) -> list[Count]: ...

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        """When the oldest due task of each of these queues became due; queues where none is due are left out."""
        ...

    async def events(self, task_id: str, after: int, limit: int, budget: Budget | None = None) -> list[Event]: ...

    async def feed(
        self,
        after: int,
        until: int,
        limit: int,
        kind: str | None = None,
        status: str | None = None,
        owner: str | None = None,
    ) -> list[FeedEvent]:
        """Events of all tasks with after < seq <= until, in their order, which is that of the commits. The walk is
        over that whole range, so keep it short when a filter is given."""
        ...

    async def last_event(self) -> int:
        """The highest seq that an event was given, also when it is deleted by now; 0 when there was none."""
        ...

    async def errors(self, task_id: str, limit: int, budget: Budget | None = None) -> list[ErrorRecord]: ...

    @property
    def version(self) -> str:
        """Of the database software."""
        ...

    async def health(self) -> Mapping[str, str | int]:
        """Figures of the store itself: at least commits and rows written so far, rows that wait to be written, the
        bytes of the database and of its log. Raises StoreUnavailable when it cannot write."""
        ...


class KeyStore(Protocol):
    """The API keys that were added by hand."""

    async def add_key(self, key: Key) -> bool:
        """False when there is one of this name that is not revoked; a revoked one makes room."""
        ...

    async def revoke_key(self, name: str, now: int) -> bool:
        """False when there is none of this name. One that is revoked stays as it is."""
        ...

    async def keys(self) -> list[Key]:
        """All, revoked ones too, by name."""
        ...


class ScheduleStore(Protocol):
    """Schedules, and the fires they have made."""

    async def add_schedule(self, schedule: Schedule, quota: int) -> bool:
        """False when there is one of this name, or the owner has `quota` of them already."""
        ...

    async def change_schedule(self, schedule: Schedule, planned: bool) -> bool:
        """Replace the definition; False when its revision is no longer that of `schedule`. `planned`: `next_at` is
        meant, too; else it stays as it is."""
        ...

    async def delete_schedule(self, name: str) -> bool:
        """False when there is none of this name that came over the API. Its fires stay on record."""
        ...

    async def declare_schedules(self, declared: Sequence[Schedule]) -> list[str]:
        """Make these the schedules of the code: those that are new begin, those that are gone are deleted, the others
        stay paused or not and keep the time of their next fire unless their plan changed. The names of those that the
        API has taken, which stay as they are."""
        ...

    async def due_schedules(self, now: int, limit: int) -> list[tuple[Schedule, bool]]:
        """The schedules whose time has come, the oldest time first, and whether the task of the last fire runs on."""
        ...

    async def next_fire(self) -> int | None: ...

    async def last_fire(self, name: str) -> int | None:
        """The latest fire on record."""
        ...

    async def fire(
        self, schedule: Schedule, fires: Sequence[tuple[int, NewTask]], next_at: int | None, error: str | None = None
    ) -> FireAnswer:
        """Put the fires on record, enqueue their tasks and set the next time, all in one transaction, or nothing of
        it: `changed` when the schedule is no longer as it was read, `known` when one of these fires was made before.
        No fires: only the next time moves, and why is the `error`."""
        ...

    async def note_task(self, name: str, task_id: str) -> None:
        """A fire outside the plan: its task is the last one, unless that of an earlier fire has not ended."""
        ...

    async def get_schedule(self, name: str) -> Schedule | None: ...

    async def find_schedules(self, owner: str | None, after: str, limit: int) -> list[Schedule]:
        """Those with names above `after`, by name. `owner` None: everybody's."""
        ...


class StatisticsStore(Protocol):
    """Figures of the tasks by kind."""

    async def kind_figures(self, since: int, limit: int) -> list[KindFigures]:
        """Of the tasks that ended since then, at most the `limit` newest of each status."""
        ...

    async def put_statistics(self, document: str, now: int) -> None: ...

    async def statistics(self) -> str | None:
        """What was put last."""
        ...


class ReportStore(Protocol):
    """What tasks may read beyond their own row."""

    async def query(self, name: str, params: Mapping[str, object], owner: str | None) -> list[dict[str, Any]]:
        """The rows of a read-only statement that is open to tasks, those of `owner` alone (None: everybody's).
        Raises LookupError for another name, TypeError for other parameters than it takes, StoreUnavailable, also
        when it takes longer than a second."""
        ...

    async def gone(self, task_ids: Sequence[str]) -> list[str]:
        """Those of which there is no task."""
        ...


class LimitStore(Protocol):
    """Calls of tasks to others that count under a limit. Ids are the caller's own and rise."""

    async def enter_call(self, call: int, name: str, window_ms: int) -> None:
        """From now on the call is in flight."""
        ...

    async def settle_calls(
        self, answered: Mapping[int, Moment], forgotten: Sequence[int], released: Sequence[int]
    ) -> None:
        """Date calls, and delete calls and holds that count no more."""
        ...

    async def recover_calls(self, now: Moment) -> list[LimitedCall]:
        """All calls, by id. Those that are in flight are dated `now`; so nobody may be calling."""
        ...

    async def hold(self, hold: Hold) -> None: ...

    async def holds(self) -> list[Hold]: ...


class ClientStore(Protocol):
    """Calls of clients to us, one row a client."""

    async def client_calls(self, owner: str, client: str) -> list[int] | None:
        """Dates, oldest first; None when nothing is known of this client."""
        ...

    async def put_client_calls(self, owner: str, client: str, dates: Sequence[int], evict: int) -> int:
        """Keep these dates (at least one), and forget the `evict` clients of the owner that were silent for longest.
        How many were forgotten."""
        ...

    async def forget_clients(self, owner: str, before: int, limit: int) -> int:
        """Delete clients whose last call was not after `before`, at most `limit`. How many."""
        ...

    async def client_counts(self) -> dict[str, int]:
        """How many clients are known of each owner."""
        ...
