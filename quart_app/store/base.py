"""The contract of a store: one method a verb. `tests/store/conformance.py` holds every store to it.

All times are integer milliseconds UTC and come from the caller. Every write of a run names its fence; when the run no
longer holds the task the write changes nothing and says so (False). Writes raise StoreUnavailable when nothing was
written and a later try may succeed. A caller that is cancelled while it waits neither stops nor splits its write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from quart_app.core.budget import Budget
from quart_app.core.schedule import Schedule
from quart_app.core.task import (
    Claimed,
    Count,
    Enqueued,
    ErrorRecord,
    Event,
    FeedEvent,
    NewTask,
    Orphan,
    StepName,
    StepRecord,
    Task,
    TaskError,
    TaskFilter,
)

CancelAnswer = Literal["cancelled", "requested", "ended", "unknown"]
FireAnswer = Literal["fired", "known", "changed"]
EndAnswer = Literal["landed", "cancelled"] | None
"""How a run's end went: as asked; as cancelled, because a cancel was on record; None: the run had lost its task."""


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
    async def claim(self, room: Mapping[str, int], now: int) -> list[Claimed]:
        """Take ready tasks, up to so many of each queue, in one transaction: by priority, then due time, then age;
        suspects are left out."""
        ...

    async def claim_suspects(self, least: int, most: int, limit: int, now: int) -> list[Claimed]:
        """Take up to `limit` ready suspects with `least` to `most` crashes; those that had run for the shortest time
        when they crashed come first."""
        ...

    async def step_names(self, task_id: str, after: str, limit: int, most: int) -> list[StepName]:
        """The next `limit` recorded steps after this name, by name; with their outputs those of up to `most` bytes."""
        ...

    async def step_output(self, task_id: str, name: str) -> str | None: ...

    async def record_step(
        self, task_id: str, fence: int, name: str, output: str, ordinal: int, now: int, clear_crashes: bool
    ) -> bool: ...

    async def progress(
        self,
        task_id: str,
        fence: int,
        done: float | None,
        total: float | None,
        message: str | None,
        now: int,
        event: bool = True,
    ) -> bool:
        """`event` False: it is shown with the task, and not kept in its history."""
        ...

    async def log(self, task_id: str, fence: int, data: str, now: int) -> bool: ...

    async def complete(self, task_id: str, fence: int, result: str, now: int) -> bool: ...

    # Each of these ends the task cancelled instead when a cancel is on record: whoever asked was promised it.
    async def retry(self, task_id: str, fence: int, error: TaskError, run_at: int, now: int) -> EndAnswer: ...

    async def fail(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer: ...

    async def suspend(self, task_id: str, fence: int, waiting_for: str, now: int) -> EndAnswer: ...

    async def release(self, task_id: str, fence: int, queue: str, now: int, run_at: int | None = None) -> EndAnswer:
        """The attempt is given back. `run_at` None: the task may be claimed again at once."""
        ...

    async def end_cancelled(self, task_id: str, fence: int, now: int) -> bool:
        """The run acknowledges the cancel that was asked of it."""
        ...

    # --- a person's hand
    async def cancel(self, task_id: str, now: int) -> CancelAnswer: ...

    async def rerun(self, task_id: str, restart: bool, now: int) -> bool:
        """False unless failed or cancelled. `restart` forgets the recorded steps."""
        ...

    async def delete(self, task_id: str) -> bool:
        """False unless ended. The task is gone at once, for everybody; what hung on it goes with `clear_deleted`."""
        ...

    # --- upkeep, in small bites
    async def stage(self, now: int, limit: int, settled: int | None = None) -> int:
        """Make delayed tasks whose time has come ready; how many, `limit`: there may be more. With a `settled` time
        before `now` the clock is in doubt: those that were planned before its step are due by that time."""
        ...

    async def replan(self, now: int, limit: int) -> int:
        """Delayed tasks that were planned at a time which is still to come wait their delay from now on; how many.
        Those with a date of their own stay."""
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

    async def orphans(self, limit: int, from_crashes: int) -> list[Orphan]:
        """Tasks `processing` under another worker's name. On SQLite the lock proves that it is dead. `sole` is counted
        for those with `from_crashes` crashes or more."""
        ...

    async def running(self) -> list[Orphan]:
        """Tasks `processing` under this worker's name. If one has no run here, that is nobody else's fault."""
        ...

    async def crash(
        self, task_id: str, fence: int, run_at: int | None, now: int, died_at: int | None = None, grouped: bool = False
    ) -> EndAnswer:
        """`run_at` None: at once, in the place the task had in its queue. `died_at`: when its process was last seen
        alive (None: now). `grouped`: whoever ran beside it may be to blame as well; remember who did."""
        ...

    async def crash_out(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer:
        """The task is to blame for its crashes; those that it shares with others are not counted to them any more."""
        ...

    async def tidy_crash_groups(self, limit: int) -> int:
        """Forget the crashes of tasks that have made headway or ended since. How many rows went."""
        ...

    async def prune(self, now: int, before: int | None, limit: int) -> int:
        """Delete ended tasks: those that ended before `before`, and those whose own retention is over; expired
        idempotency keys; and fires that are a day old. How many rows went."""
        ...

    async def clear_deleted(self, rows: int, size: int) -> int:
        """Delete what is left of deleted tasks, at most `rows` rows and about `size` characters of them. How many rows
        went; 0 when nothing is left."""
        ...

    async def prune_counters(self, limit: int) -> int:
        """Forget the queues and kinds of which there is nothing to count. How many rows went."""
        ...

    # --- reading
    async def get(self, task_id: str) -> Task | None: ...

    # With a budget, rows are read for as long as their documents fit it, and none after.
    async def find(self, wanted: TaskFilter, budget: Budget | None = None) -> list[Task]: ...

    async def steps(self, task_id: str, budget: Budget | None = None) -> list[StepRecord]: ...

    async def probe(self) -> None:
        """A write of nothing, to find out whether writing works."""
        ...

    async def counts(self) -> list[Count]: ...

    async def ready_queues(self, limit: int) -> list[str]:
        """Queues in which a task may be claimed, at most `limit`."""
        ...

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        """When the oldest due task of each of these queues became due; queues where none is due are left out."""
        ...

    async def events(self, task_id: str, after: int, limit: int, budget: Budget | None = None) -> list[Event]: ...

    async def count_events(self, task_id: str) -> int: ...

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


class ScheduleStore(Protocol):
    """Schedules, and the fires they have made."""

    async def add_schedule(self, schedule: Schedule, quota: int) -> bool:
        """False when the owner has one of this name, or has `quota` of them already."""
        ...

    async def change_schedule(self, schedule: Schedule, planned: bool) -> bool:
        """Replace the definition; False when its revision is no longer that of `schedule`. `planned`: `next_at` is
        meant, too; else it stays as it is."""
        ...

    async def delete_schedule(self, key: str) -> bool:
        """False when there is none that came over the API. Its fires stay on record."""
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

    async def made_fires(self, key: str, times: Sequence[int]) -> set[int]:
        """Those of these fires that are on record."""
        ...

    async def fire(
        self, schedule: Schedule, fires: Sequence[tuple[int, NewTask]], next_at: int | None, error: str | None = None
    ) -> FireAnswer:
        """Put the fires on record, enqueue their tasks and set the next time, all in one transaction, or nothing of
        it: `changed` when the schedule is no longer as it was read, `known` when one of these fires was made before.
        No fires: only the next time moves, and why is the `error`."""
        ...

    async def note_task(self, key: str, task_id: str) -> None:
        """A fire outside the plan: its task is the last one, unless that of an earlier fire has not ended."""
        ...

    async def get_schedule(self, key: str) -> Schedule | None: ...

    async def schedules_named(self, name: str) -> list[Schedule]:
        """Those of all owners; at most two."""
        ...

    async def find_schedules(self, owner: str | None, after: str, limit: int) -> list[Schedule]:
        """Those with keys above `after`, by key. `owner` None: everybody's."""
        ...
