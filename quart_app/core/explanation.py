"""Says why a task is where it is, and when it may start. Pure; times in ms."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from quart_app.core.lifecycle import SUSPECT_CRASHES
from quart_app.core.task import Task

Reason = Literal[
    "ended", "running", "starting", "scheduled", "retrying", "sleeping", "children", "signal", "no_handler",
    "queue_paused", "kind_paused", "limit", "slots", "behind", "suspect", "draining",
]  # fmt: skip

ENDED: Final = {"completed": "It has completed.", "failed": "It has failed.", "cancelled": "It was cancelled."}
MANY: Final = 1000  # tasks before it, above which they are not counted


class LimitState(msgspec.Struct, frozen=True):
    """A limit that holds for the task. `until`: when the next start under its rate is allowed (ms UTC); None: now, or
    when a run ends. `allowed`: tasks that may run at once; None: any number. `closed`: nothing starts under it now.
    `starts` in each `window` (ms): its rate; None: it has none."""

    name: str
    until: int | None
    running: int
    allowed: int | None
    closed: bool = False
    starts: int | None = None
    window: int = 0


class Standing(NamedTuple):
    """What the store knows. `before`: tasks that start before it, MANY + 1 for more; `parked`: the limit at which it
    waits. `runs`: how long the last runs of its kind took."""

    ready: bool
    crashes: int
    queue_paused: bool
    kind_paused: bool
    parked: str | None
    before: int
    limits: Sequence[LimitState]
    runs: Sequence[int]


class Place(NamedTuple):
    """What the process knows. `free`: slots; `slots`: all of them."""

    free: int
    slots: int
    draining: bool


class Explanation(msgspec.Struct, frozen=True):
    """`position`: tasks before it; None when that is no question. Times in ms UTC."""

    reason: Reason
    text: str
    position: int | None = None
    limits: Sequence[LimitState] = ()
    expected_start: int | None = None
    expected_end: int | None = None
    based_on: int | None = None


def explain(task: Task, standing: Standing, place: Place, now: int) -> Explanation:
    run = int(statistics.median(standing.runs)) if standing.runs else None
    based_on = len(standing.runs) or None
    if task.status == "processing":
        ends = None if run is None or task.started_at is None else max(task.started_at + run, now)
        return Explanation(
            "running", f"It runs, in attempt {task.attempt}.", None, standing.limits, None, ends, based_on
        )
    if task.status != "pending":
        return Explanation("ended", ENDED[task.status])
    if not standing.ready:
        reason, text = _resting(task, standing)
        start = task.run_at if reason in ("scheduled", "retrying", "sleeping") else None
        starts = None if start is None else max(start, now)
        return Explanation(reason, text, None, (), starts, _plus(starts, run), starts and based_on)
    reason, text = _waiting(standing, place)
    starts = _start(reason, standing, place, run, now)
    position = None if reason in ("queue_paused", "kind_paused", "suspect", "draining") else standing.before
    return Explanation(reason, text, position, standing.limits, starts, _plus(starts, run), starts and based_on)


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


def _open(limit: LimitState, until: int, before: int) -> int:
    """When a limit whose window is full has room for a task with so many before it: each window has its starts."""
    return until + (before // limit.starts * limit.window if limit.starts else 0)


def _start(reason: Reason, standing: Standing, place: Place, run: int | None, now: int) -> int | None:
    """When it may start, if all goes on as it did."""
    if reason == "starting":
        return now
    if reason not in ("limit", "slots", "behind"):
        return None
    until = max(
        (_open(one, one.until, standing.before) for one in standing.limits if one.until is not None), default=now
    )
    if run is None:
        return until if until > now and reason == "limit" and not standing.before else None
    at_once = min([place.slots, *(one.allowed for one in standing.limits if one.allowed is not None)])
    return max(until, now + (standing.before + 1) * run // max(at_once, 1))
