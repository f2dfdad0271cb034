"""What should be true, as plain Python: one object a task, and what each verb does to it. Knows no SQL and no store."""

from __future__ import annotations

from dataclasses import dataclass, field

TERMINAL = ("completed", "failed", "cancelled")
PAUSES = (0, 0, 1_000, 5_000, 30_000, 120_000)
SOLE = 3  # crashes that nobody else can have caused, before a task is called poisoned


@dataclass
class Life:
    """A task as it should be now."""

    id: str
    seq: int
    kind: str
    queue: str
    priority: int
    max_attempts: int
    run_at: int
    ready: bool
    created_at: int
    started_at: int = 0
    lived: int = 0
    expires_at: int | None = None
    retention: int | None = None
    key: str | None = None
    status: str = "pending"
    attempt: int = 0
    crashes: int = 0
    fence: int = 0
    cancel_asked: bool = False
    waiting_for: str | None = None
    completed_at: int | None = None
    result: int | None = None
    error: str | None = None
    worker: str | None = None
    steps: dict[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    def held_by(self, fence: int) -> bool:
        return self.status == "processing" and self.fence == fence

    def claim(self, worker: str, now: int) -> None:
        self.started_at = max(now, self.created_at)
        self.status, self.worker, self.ready, self.expires_at = "processing", worker, False, None
        self.attempt += 1
        self.fence += 1

    def wait(self, ready: bool) -> None:
        self.status, self.worker, self.ready = "pending", None, ready

    def end(self, status: str, now: int, error: str | None = None) -> None:
        self.status, self.worker, self.ready, self.completed_at = status, None, False, now
        self.waiting_for = None
        if error is not None:
            self.error = error

    def complete(self, result: int, now: int) -> None:
        self.end("completed", now)
        self.result, self.crashes, self.error = result, 0, None

    def give_back(self, ready: bool) -> None:
        self.wait(ready)
        self.attempt -= 1

    def crash(self, now: int) -> None:
        self.lived = max(self.lived if self.crashes else 0, now - self.started_at)
        self.crashes += 1
        pause = PAUSES[min(self.crashes, len(PAUSES)) - 1]
        self.give_back(ready=not pause)
        if pause:
            self.run_at = now + pause

    @property
    def suspected(self) -> bool:
        """It may be what killed the process: it has not run to an end of its own since."""
        return self.crashes > 0 and self.status in ("pending", "processing", "cancelled")

    def rerun(self, restart: bool, now: int) -> None:
        self.status, self.ready, self.run_at = "pending", True, now
        self.attempt = self.crashes = 0
        self.cancel_asked, self.completed_at, self.expires_at = False, None, None
        if restart:
            self.steps.clear()

    def row(self) -> tuple[object, ...]:
        """As the table should have it."""
        return (
            self.id,
            self.status,
            self.attempt,
            self.crashes,
            self.fence,
            int(self.ready),
            self.run_at,
            int(self.cancel_asked),
            self.waiting_for,
            self.completed_at,
            self.worker,
        )


@dataclass
class Groups:
    """Who ran beside whom when a worker died: of those that may still have caused it, by worker."""

    of: dict[str, set[str]] = field(default_factory=dict)

    def join(self, worker: str, task_id: str) -> None:
        self.of.setdefault(worker, set()).add(task_id)

    def leave(self, task_id: str) -> None:
        for group in self.of.values():
            group.discard(task_id)

    def solve(self, task_id: str) -> None:
        self.of = {worker: group for worker, group in self.of.items() if task_id not in group}

    def sole(self, task_id: str, lives: dict[str, Life]) -> int:
        return sum(
            task_id in group and not any(one != task_id and one in lives and lives[one].suspected for one in group)
            for group in self.of.values()
        )

    def rows(self) -> set[tuple[str, str]]:
        return {(worker, task_id) for worker, group in self.of.items() for task_id in group}


ROWS = """SELECT id, status, attempt, crashes, fence, ready, run_at, cancel_requested_at IS NOT NULL, waiting_for,
  completed_at, worker FROM tasks ORDER BY seq"""


@dataclass
class Key:
    task_id: str
    fingerprint: str
    expires_at: int
