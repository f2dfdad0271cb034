"""The contract of a store: one method a verb. `tests/store/conformance.py` checks every store.

All times are integer milliseconds UTC and come from the caller. Every write of a run names its fence; when the run no
longer holds the task, the write changes nothing and returns False or None. Writes raise StoreUnavailable when nothing
was written and a later try may succeed. A caller that is cancelled while it waits neither stops nor splits its write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

from quart_app.core.schedule import Schedule
from quart_app.core.size_budget import SizeBudget
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
"""How a run ended: as requested; as cancelled, because a cancel was on record; None: the run had lost its claim."""


class Listener(Protocol):
    """Wake-ups, called after COMMIT on the event loop. Losing one costs latency, never a task; they must not raise."""

    def task_coming(self, queue: str) -> None:
        """Called before the transaction: after it a task of this queue may be claimed, in the same commit."""

    def task_ready(self, queue: str, suspect: bool = False) -> None:
        """A task of this queue may be claimed."""

    def task_due_at(self, at: int) -> None:
        """A task becomes due, or expires, at this time."""

    def task_changed(self, task_id: str) -> None:
        """What `get` returns for this task has changed."""

    def parent_ended(self) -> None:
        """A task that has children ended: some may have to be cancelled."""

    def held_back(self, asked: Collection[str], queues: Collection[str], opens: int | None) -> None:
        """Of the queues that a claim `asked`, limits hold tasks of these back. The next limit gives way at `opens`, in
        ms since the boot; None: when a run ends."""

    def place_freed(self) -> None:
        """A run has ended, or a task that waited: a limit may have room."""

    def schedule_due_at(self, at: int) -> None:
        """A schedule was made or changed, and fires at this time."""

    def store_broken(self, reason: str) -> None:
        """The database is damaged or gone: the process must stop (exit 74)."""


class Store(Protocol):
    worker: str
    """Name of this process among the workers; a `processing` row of another name is an orphan."""

    # --- creating
    async def enqueue(self, tasks: Sequence[NewTask]) -> list[Enqueued]:
        """Insert all or none; a duplicate by its unique key as its `on_duplicate` says, in order. Raises
        IdempotencyConflict, KeyedTaskGone, DuplicateTask or UploadNotFound (then nothing was inserted)."""
        ...

    async def known_keys(self, tasks: Sequence[NewTask]) -> bool:
        """Whether all these tasks have an idempotency key that is in use, or a unique key that is held: enqueueing them
        would make nothing new that is due."""
        ...

    # --- a run: claim, writes under its fence, one end
    async def claim(self, room: Mapping[str, int], now: int, up: int | None = None) -> list[Claimed]:
        """Claim ready tasks in one transaction, at most `room[queue]` of each queue: owners take turns; of one owner by
        priority, then due time, then age; but one place of eight goes to the task that is due for longest. Tasks that
        limits hold back and suspects are left out. `up`: the time since the boot in ms, by which rates are counted
        (None: `now`)."""
        ...

    async def claim_suspects(self, least: int, most: int, limit: int, now: int, up: int | None = None) -> list[Claimed]:
        """Claim up to `limit` ready suspects with `least` to `most` crashes; those that had run for the shortest time
        when they crashed come first."""
        ...

    async def step_names(self, task_id: str, after: str, limit: int, most: int) -> list[StepName]:
        """The next `limit` recorded steps after this name, by name. Outputs of up to `most` bytes are included."""
        ...

    async def step_output(self, task_id: str, name: str) -> str | None: ...

    async def record_step(
        self,
        task_id: str,
        fence: int,
        name: str,
        output: str,
        ordinal: int,
        now: int,
        clear_crashes: bool,
        what: str = "step",
    ) -> bool:
        """`what`: the type, as in the table `steps`."""
        ...

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
        """`event` False: the progress is shown with the task but not kept in its history."""
        ...

    async def log(self, task_id: str, fence: int, data: str, now: int) -> bool: ...

    async def complete(self, task_id: str, fence: int, result: str, now: int) -> bool: ...

    # When a cancel is on record, each of these ends the task as cancelled: the caller was promised the cancel.
    async def retry(self, task_id: str, fence: int, error: TaskError, run_at: int, now: int) -> EndAnswer: ...

    async def fail(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer: ...

    async def suspend(self, task_id: str, fence: int, waiting_for: str, now: int) -> EndAnswer: ...

    async def release(self, task_id: str, fence: int, queue: str, now: int, run_at: int | None = None) -> EndAnswer:
        """Make the task pending again; the attempt does not count. `run_at` None: it may be claimed again at once."""
        ...

    async def end_cancelled(self, task_id: str, fence: int, now: int) -> bool:
        """End the run as cancelled, as it was requested to."""
        ...

    # --- by hand
    async def cancel(self, task_id: str, now: int) -> CancelAnswer: ...

    async def rerun(self, task_id: str, restart: bool, now: int) -> bool:
        """False unless failed or cancelled. `restart` forgets the recorded steps. Raises DuplicateTask: its
        unique key is held."""
        ...

    async def delete(self, task_id: str) -> bool:
        """False unless ended. The task is gone at once for all readers; `clear_deleted` deletes its other rows."""
        ...

    # --- upkeep, in small batches
    async def make_ready(self, now: int, limit: int, settled: int | None = None) -> int:
        """Make delayed tasks ready whose time has come. Returns how many; `limit` means that there may be more. A
        `settled` time before `now`: the clock is in doubt, and tasks planned before its step are due by `settled`."""
        ...

    async def replan(self, now: int, limit: int) -> int:
        """Restart the delay, from now on, of delayed tasks that were planned at a time in the future (the clock went
        back). Returns how many. Tasks with a date that the caller gave stay as they are."""
        ...

    async def expire(self, now: int, limit: int) -> list[str]:
        """Fail tasks that had to start before now. Returns their kinds."""
        ...

    async def next_due(self) -> int | None:
        """When the next delayed task is due or expires."""
        ...

    async def resume_waiting(self, kinds: Sequence[str], now: int, limit: int) -> int:
        """Resume tasks that waited for one of these kinds to be registered. Returns how many."""
        ...

    async def orphans(self, limit: int, from_crashes: int) -> list[Orphan]:
        """Tasks `processing` under another worker's name. On SQLite the lock proves that the worker is dead. `sole`
        is counted only for tasks with `from_crashes` crashes or more."""
        ...

    async def running(self) -> list[Orphan]:
        """Tasks `processing` under this worker's name. If one has no run here, no other task is the cause."""
        ...

    async def crash(
        self, task_id: str, fence: int, run_at: int | None, now: int, died_at: int | None = None, grouped: bool = False
    ) -> EndAnswer:
        """Make the task pending again. `run_at` None: at once, in the place it had in its queue. `died_at`: when its
        process was last seen alive (None: now). `grouped`: tasks that ran beside it may be the cause; record them."""
        ...

    async def crash_out(self, task_id: str, fence: int, error: TaskError, now: int) -> EndAnswer:
        """Fail the task as the cause of its crashes. Crashes that it shares with others no longer count for those."""
        ...

    async def tidy_crash_groups(self, limit: int) -> int:
        """Delete the crash groups of tasks that have recorded a step or ended since. Returns how many rows."""
        ...

    async def prune(self, now: int, before: int | None, limit: int) -> int:
        """Delete ended tasks: those that ended before `before`, and those whose own retention has passed;
        expired idempotency keys; and fires that are a day old. Returns how many rows."""
        ...

    async def clear_deleted(self, rows: int, size: int) -> int:
        """Delete the rows left of deleted tasks, at most `rows` rows and about `size` characters. Returns how many
        rows; 0 when none is left."""
        ...

    async def prune_counters(self, limit: int) -> int:
        """Delete the counters of queues and kinds that have no tasks. Returns how many rows."""
        ...

    # --- reading
    async def get(self, task_id: str) -> Task | None: ...

    # With a budget, rows are read as long as their documents fit it; the rest is left out.
    async def find(self, wanted: TaskFilter, budget: SizeBudget | None = None) -> list[Task]: ...

    async def steps(self, task_id: str, budget: SizeBudget | None = None) -> list[StepRecord]: ...

    async def probe(self) -> None:
        """Write a row without meaning, to find out whether writing works."""
        ...

    async def counts(self) -> list[Count]: ...

    async def ready_queues(self, limit: int) -> list[str]:
        """Queues in which a task may be claimed, at most `limit`."""
        ...

    async def oldest(self, queues: Sequence[str]) -> dict[str, int]:
        """When the oldest due task of each of these queues became due; queues where none is due are left out."""
        ...

    async def events(self, task_id: str, after: int, limit: int, budget: SizeBudget | None = None) -> list[Event]: ...

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
        """Events of all tasks with after < seq <= until, in the order of the commits. The whole range is read, so
        keep it short when a filter is given."""
        ...

    async def last_event(self) -> int:
        """The highest seq of any event so far, including deleted ones; 0 when there was none."""
        ...

    async def errors(self, task_id: str, limit: int, budget: SizeBudget | None = None) -> list[ErrorRecord]: ...

    @property
    def version(self) -> str:
        """Version of the database software."""
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
        """Replace the definition; False when its revision is no longer that of `schedule`. `planned`: write
        `next_at` too; else it stays as it is."""
        ...

    async def delete_schedule(self, key: str) -> bool:
        """False when no schedule of this key was made over the API. Its fires stay on record."""
        ...

    async def declare_schedules(self, declared: Sequence[Schedule]) -> list[str]:
        """Make these the schedules of the code: add the new ones and delete those that are gone. The others keep their
        pause, and the time of their next fire unless their plan changed. Returns the names that are taken by schedules
        of the API; those stay as they are."""
        ...

    async def due_schedules(self, now: int, limit: int) -> list[tuple[Schedule, bool]]:
        """Schedules whose time has come, the oldest time first, and whether the task of the last fire has not ended."""
        ...

    async def next_fire(self) -> int | None: ...

    async def made_fires(self, key: str, times: Sequence[int]) -> set[int]:
        """Which of these fires are on record."""
        ...

    async def fire(
        self, schedule: Schedule, fires: Sequence[tuple[int, NewTask]], next_at: int | None, error: str | None = None
    ) -> FireAnswer:
        """Record the fires, enqueue their tasks and set the next time in one transaction, or change nothing: `changed`
        when the schedule is no longer as it was read, `known` when one of these fires was made before. Without fires
        only the next time is set, and `error` is the reason."""
        ...

    async def note_task(self, key: str, task_id: str) -> None:
        """Record the task of a fire outside the plan as the last task, unless an earlier task has not ended."""
        ...

    async def get_schedule(self, key: str) -> Schedule | None: ...

    async def schedules_named(self, name: str) -> list[Schedule]:
        """Schedules of this name, of all owners; at most two."""
        ...

    async def find_schedules(self, owner: str | None, after: str, limit: int) -> list[Schedule]:
        """Schedules with keys above `after`, by key. `owner` None: those of all owners."""
        ...
