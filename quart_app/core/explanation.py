"""Says why a task is where it is, and when it may start. Pure; times in ms."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import Status, Task

Reason = Literal[
    "ended", "running", "starting", "scheduled", "retrying", "sleeping", "children", "signal", "no_handler",
    "queue_paused", "kind_paused", "limit", "slots", "behind", "suspect", "draining",
]  # fmt: skip

ENDED: Final = {"completed": "It has completed.", "failed": "It has failed.", "cancelled": "It was cancelled."}
MANY: Final = 1000  # tasks before it, above which they are not counted


class LimitState(msgspec.Struct, frozen=True):
    """A limit that holds for the task. `until`: when the next start under its rate is allowed (ms UTC); None: now, or
    when a run ends. `allowed`: tasks that may run at once; None: any number. `closed`: nothing starts under it now.
    `before`: tasks that start before it under this limit.

    Of a rate, `starts` in each `window` (ms), None when there is none: `turn`: when it lets the task start, if those
    before it start as soon as they may; `room`: starts that it allows now, MANY for more."""

    name: str
    until: int | None
    running: int
    allowed: int | None
    closed: bool = False
    before: int = 0
    starts: int | None = None
    window: int = 0
    turn: int | None = None
    room: int = 0

    def start(self, run: int, now: int, more: int) -> int:
        """When it lets the task start, behind so many `more`. `run`: how long one runs (ms)."""
        at, before = now, self.before + more
        if self.allowed is not None:
            at += ends_before(before, self.allowed - self.running) * run // self.allowed
        if self.starts is not None and self.turn is not None:
            late = before - max(self.room - 1, self.before)  # starts after those whose time is known
            at = max(at, self.turn + max(late, 0) * self.window // self.starts)
        return at


class Standing(NamedTuple):
    """What the store knows. `before`: tasks that start before it, an estimate above MANY; `parked`: the limit at which
    it waits. `runs`: how long the last runs of its kind took."""

    ready: bool
    crashes: int
    queue_paused: bool
    kind_paused: bool
    parked: str | None
    before: int
    limits: Sequence[LimitState]
    runs: Sequence[int]

    def run(self) -> int | None:
        """How long one runs, in ms."""
        return int(statistics.median(self.runs)) if self.runs else None


class Place(NamedTuple):
    """What the process knows. `free`: slots; `slots`: all of them."""

    free: int
    slots: int
    draining: bool


class Explanation(msgspec.Struct, frozen=True):
    """`position`: tasks before it; None when that is no question. Times in ms UTC."""

    status: Status
    reason: Reason
    text: str
    position: int | None = None
    limits: Sequence[LimitState] = ()
    expected_start: int | None = None
    expected_end: int | None = None
    based_on: int | None = None


def explain(task: Task, standing: Standing, place: Place, now: int) -> Explanation:
    run = standing.run()
    based_on = len(standing.runs) or None
    if task.status == "processing":
        ends = None if run is None or task.started_at is None else max(task.started_at + run, now)
        text = f"It runs, in attempt {task.attempt}."
        return Explanation(task.status, "running", text, None, standing.limits, None, ends, based_on)
    if task.status != "pending":
        return Explanation(task.status, "ended", ENDED[task.status])
    if not standing.ready:
        reason, text = _resting(task, standing)
        start = task.run_at if reason in ("scheduled", "retrying", "sleeping") else None
        starts = None if start is None else max(start, now)
        return Explanation(task.status, reason, text, None, (), starts, _plus(starts, run), starts and based_on)
    reason, text = _waiting(standing, place)
    starts = _start(reason, standing, place, run, now)
    position = None if reason in ("queue_paused", "kind_paused", "suspect", "draining") else standing.before
    ends, runs = _plus(starts, run), starts and based_on
    return Explanation(task.status, reason, text, position, standing.limits, starts, ends, runs)


def _plus(at: int | None, more: int | None) -> int | None:
    return None if at is None or more is None else at + more


def _resting(task: Task, standing: Standing) -> tuple[Reason, str]:
    """Of a pending task that may not be claimed now."""
    waits = task.waiting_for or ""
    what, _, name = waits.partition(":")
    if what == "children":
        left = (task.children or 0) - (task.children_ended or 0)
        return "children", f"It waits for its children: {left} of {task.children or 0} have not ended."
    if what == "signal":
        return "signal", f"It waits for the signal {name!r}."
    if what == "kind":
        return "no_handler", f"No server here has code for the kind {name!r}."
    if what == "unique_key":
        return "behind", "It waits for the end of the task before it that has its unique key."
    if what == "time":
        return "sleeping", "It sleeps until its time comes."
    if standing.crashes:
        return "retrying", f"Its process died {_times(standing.crashes)} while it ran; it pauses before the next run."
    if task.attempt:
        return "retrying", f"Attempt {task.attempt} of {task.max_attempts} ended in an error; the next one comes later."
    return "scheduled", "It is to start at a later time."


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _run(n: int) -> str:
    return "1 task runs" if n == 1 else f"{n} tasks run"


def _waiting(standing: Standing, place: Place) -> tuple[Reason, str]:
    """Of a task that is due."""
    if place.draining:
        return "draining", "The server is stopping; the task goes on with the next start."
    if standing.crashes >= SUSPECT_CRASHES:
        return "suspect", (
            f"Its process died {_times(standing.crashes)} while it ran, "
            "so it runs apart from others when there is room."
        )
    if standing.queue_paused:
        return "queue_paused", "Its queue is paused."
    if standing.kind_paused:
        return "kind_paused", "Its kind is paused."
    closed = next((one for one in standing.limits if one.closed), None)
    if closed is not None or standing.parked is not None:
        return "limit", _limit_text(closed, standing.parked)
    if place.free > 0:
        return "starting", "It starts now."
    if standing.before:
        more = f"more than {MANY}" if standing.before > MANY else str(standing.before)
        tasks = "task is" if standing.before == 1 else "tasks are"
        return "behind", f"Every slot is taken, and {more} {tasks} before it."
    return "slots", f"Every slot is taken: {_run(place.slots)}. It is the next one."


def _limit_text(closed: LimitState | None, parked: str | None) -> str:
    if closed is None:
        return f"The limit {parked!r} holds it back; others wait there before it."
    if closed.until is not None:
        return f"The limit {closed.name!r} allows no start before its window has passed."
    return f"The limit {closed.name!r} holds it back: {_run(closed.running)}, and {closed.allowed} may."


def ends_before(before: int, room: int) -> int:
    """How many runs must end until a task with so many before it starts. `room`: places that are free now."""
    return max(before - max(room, 0) + 1, 0)


def _start(reason: Reason, standing: Standing, place: Place, run: int | None, now: int) -> int | None:
    """When it may start, if all goes on as it did."""
    if reason == "starting":
        return now
    if reason not in ("limit", "slots", "behind"):
        return None
    if run is None and not any(one.closed and one.until is not None for one in standing.limits):
        return None
    return _turn(standing, place, run or 0, now, 0)


def _turn(standing: Standing, place: Place, run: int, now: int, more: int) -> int:
    """When slots and limits let it start, behind so many `more`."""
    at = now + ends_before(standing.before + more, place.free) * run // max(place.slots, 1)
    return max(at, *(one.start(run, now, more) for one in standing.limits)) if standing.limits else at


# --- tasks that are not there yet


class Coming(NamedTuple):
    """A task that might be made. `gates`: the limits that hold for it, each with the value of its key."""

    kind: str
    queue: str
    owner: str
    priority: int
    gates: tuple[str, ...]


class Forecast(NamedTuple):
    """When a task that is made at a time `at` (ms) would start and end. `run`: how long one runs (ms; None: nobody
    knows). `held`: it waits for somebody who ends a pause."""

    at: int
    standing: Standing
    place: Place
    run: int | None
    held: bool

    @classmethod
    def of(cls, standing: Standing, place: Place, at: int) -> Forecast:
        return cls(at, standing, place, standing.run(), standing.queue_paused or standing.kind_paused)

    def end(self, more: int) -> int | None:
        """When it would have ended, behind so many `more` than there were. None: nobody knows."""
        starts = _turn(self.standing, self.place, self.run or 0, self.at, more)
        if self.run is None:
            return starts if starts > self.at else None  # not before its turn under a rate
        return starts + self.run
