"""The life of one task, from its events: where it was, for how long, and what it recorded. Pure; times in ms UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from quart_app.core.task import ErrorRecord, Event, StepRecord, Task
from quart_app.dashboard import texts

WIDTH: Final = 720.0
MOST_IDLE: Final = 0.12  # of the time that it ran: what a wait is shown as, at most, when idle time is hidden
LEAST: Final = 2.0  # width of a segment
# What a task waits for after an event.
WAITS: Final = {
    "enqueue": "waits for its turn",
    "retry": "pauses after an error",
    "suspend": "sleeps or waits, without a slot",
    "release": "waits for the next start of the server",
    "crash": "waits after its process died",
    "rerun": "waits for its turn",
}
OUTCOMES: Final = {
    "complete": "completed",
    "retry": "error, to be tried again",
    "fail": "failed",
    "suspend": "suspended",
    "release": "given back at a stop",
    "cancel": "cancelled",
    "crash": "its process died",
    "expire": "expired",
}


class Segment(NamedTuple):
    """A time in one state. `what` is its class: `wait`, or `run` and how it ended."""

    start: int
    end: int
    what: str
    text: str


class Drawn(NamedTuple):
    x: float
    width: float
    what: str
    text: str
    broken: bool


class Run(NamedTuple):
    """One run of the handler."""

    number: int
    attempt: int
    start: int
    end: int | None
    outcome: str
    error: ErrorRecord | None


class State(NamedTuple):
    """A box of the picture of states."""

    name: str
    visits: int
    lasted: int | None
    at: int | None
    current: bool


class Tick(NamedTuple):
    x: float
    text: str


class Timeline(NamedTuple):
    states: list[State]
    runs: list[Run]
    segments: list[Drawn]
    ticks: list[Tick]
    hidden: bool
    """Whether some wait is shown shorter than it was."""


def timeline(
    task: Task,
    events: Sequence[Event],
    errors: Sequence[ErrorRecord],
    steps: Sequence[StepRecord],
    now: int,
    idle: bool,
) -> Timeline:
    """`idle`: show waits as long as they were."""
    statuses = [one for one in events if one.name == "status"]
    runs = _runs(statuses, errors)
    segments = _segments(task, statuses, now)
    drawn, place = _draw(segments, idle)
    ticks = [Tick(place(one.at), f"{one.type} {one.name}, recorded at {texts.clock(one.at)} UTC") for one in steps]
    return Timeline(_states(task, statuses, segments), runs, drawn, ticks, any(one.broken for one in drawn))


def _runs(statuses: Sequence[Event], errors: Sequence[ErrorRecord]) -> list[Run]:
    """The fence counts claims, so it matches an error to its run."""
    by_fence = {error.fence: error for error in errors}
    found: list[Run] = []
    for one in statuses:
        if one.cause == "claim":
            number = len(found) + 1
            found.append(Run(number, one.attempt, one.at, None, "", by_fence.get(number)))
        elif found and found[-1].end is None and one.cause != "cancel_requested":
            found[-1] = found[-1]._replace(end=one.at, outcome=OUTCOMES.get(one.cause, one.cause))
    return found


def _segments(task: Task, statuses: Sequence[Event], now: int) -> list[Segment]:
    found: list[Segment] = []
    changes = [one for one in statuses if one.cause != "cancel_requested"]
    last = task.completed_at if task.ended and task.completed_at is not None else now
    for one, after in zip_longest(changes, changes[1:]):
        if one.status not in ("pending", "processing"):
            continue
        end = max(after.at if after is not None else last, one.at)
        lasted = texts.duration(end - one.at)
        if one.status == "pending":
            found.append(Segment(one.at, end, "wait", f"{WAITS.get(one.cause, 'waits')}: {lasted}"))
        else:
            how = after.cause if after is not None else "now"
            outcome = OUTCOMES.get(how, "it runs") if after is not None else "it runs"
            found.append(Segment(one.at, end, f"run {how}", f"attempt {one.attempt}: {lasted}, {outcome}"))
    return found


def _draw(segments: Sequence[Segment], idle: bool) -> tuple[list[Drawn], Callable[[int], float]]:
    """The segments along the width, and a function from a time to its place."""
    ran = sum(one.end - one.start for one in segments if one.what != "wait")
    most = max(ran * MOST_IDLE, 1.0)
    lengths = [
        float(one.end - one.start) if idle or not ran or one.what != "wait" else min(one.end - one.start, most)
        for one in segments
    ]
    scale = WIDTH / max(sum(lengths), 1.0)
    drawn, places, x = [], [], 0.0
    for one, length in zip(segments, lengths, strict=True):
        width = length * scale
        places.append((one.start, one.end, x, width))
        broken = length < one.end - one.start
        drawn.append(Drawn(round(x, 1), round(max(width, LEAST), 1), one.what, one.text, broken))
        x += width

    def place(at: int) -> float:
        for start, end, left, width in places:
            if start <= at <= end:
                return round(left + width * (at - start) / max(end - start, 1), 1)
        return WIDTH if places and at > places[-1][1] else 0.0

    return drawn, place


def _states(task: Task, statuses: Sequence[Event], segments: Sequence[Segment]) -> list[State]:
    """The two states before the end, and the end: the one it has, or the three that it may have."""
    waited = [one for one in segments if one.what == "wait"]
    ran = [one for one in segments if one.what != "wait"]
    found = [
        State("pending", len(waited), _sum(waited), None, task.status == "pending"),
        State("processing", len(ran), _sum(ran), None, task.status == "processing"),
    ]
    ends = (task.status,) if task.ended else ("completed", "failed", "cancelled")
    return found + [State(name, int(task.ended), None, task.completed_at, task.ended) for name in ends]


def _sum(segments: Sequence[Segment]) -> int | None:
    return sum(one.end - one.start for one in segments) if segments else None
