"""The timeline of a task, the charts, and how times and plans are said."""

from __future__ import annotations

import pytest

from quart_app.core.schedule import Plan
from quart_app.core.statistics import Figures
from quart_app.core.task import ErrorRecord, Event, StepRecord, Task
from quart_app.dashboard import charts, texts
from quart_app.dashboard.cron_words import in_words
from quart_app.dashboard.timeline import WIDTH, timeline

T = 1_893_456_000_000
HOUR = 3_600_000


def event(at: int, status: str, cause: str, attempt: int = 1) -> Event:
    return Event(at, "id", T + at, "status", status, cause, attempt, None)  # type: ignore[arg-type]


def task(status: str, completed_at: int | None = None) -> Task:
    nothing = dict.fromkeys(Task.__struct_fields__)
    return Task(**{**nothing, "id": "id", "kind": "k", "status": status, "completed_at": completed_at})


LIFE = [
    event(0, "pending", "enqueue", 0),
    event(10, "processing", "claim"),
    event(1_010, "pending", "retry"),
    event(HOUR, "processing", "claim", 2),
    event(HOUR + 500, "processing", "cancel_requested", 2),
    event(HOUR + 1_000, "completed", "complete", 2),
]
ERROR = ErrorRecord(1, 1, T + 1_010, "ValueError", "no", 1, "Traceback")
STEPS = [StepRecord("fetch", "step", "1", 1, T + 510), StepRecord("late", "step", "1", 2, T + HOUR + 1_000)]


def test_runs_have_their_errors_and_the_boxes_their_times() -> None:
    found = timeline(task("completed", T + HOUR + 1_000), LIFE, [ERROR], STEPS, T + 2 * HOUR, idle=False)
    assert [(run.attempt, run.outcome, run.error) for run in found.runs] == [
        (1, "error, to be tried again", ERROR),
        (2, "completed", None),
    ]
    assert [(one.name, one.visits, one.lasted) for one in found.states] == [
        ("pending", 2, 10 + HOUR - 1_010),
        ("processing", 2, 2_000),
        ("completed", 1, None),
    ]
    assert [one.current for one in found.states] == [False, False, True]


def test_idle_time_is_hidden_or_as_long_as_it_was() -> None:
    ended = task("completed", T + HOUR + 1_000)
    short = timeline(ended, LIFE, [], STEPS, T + 2 * HOUR, idle=False)
    whole = timeline(ended, LIFE, [], STEPS, T + 2 * HOUR, idle=True)
    assert short.hidden
    assert not whole.hidden
    assert [one.what for one in short.segments] == ["wait", "run retry", "wait", "run complete"]
    assert short.segments[2].width < 0.12 * WIDTH < whole.segments[2].width
    for life in (short, whole):
        assert sum(one.width for one in life.segments) == pytest.approx(WIDTH, abs=10)
        first, last = life.ticks
        run = life.segments[1]
        assert first.x == pytest.approx(run.x + run.width / 2, abs=1.5)
        assert last.x == pytest.approx(WIDTH, abs=1)


def test_a_task_that_runs_grows_to_now() -> None:
    found = timeline(task("processing"), LIFE[:2], [], [], T + 5_010, idle=False)
    (run,) = found.runs
    assert (run.end, run.outcome) == (None, "")
    assert found.segments[-1].what == "run now"
    assert [(one.name, one.visits) for one in found.states[2:]] == [("completed", 0), ("failed", 0), ("cancelled", 0)]


def test_a_task_without_events_is_drawn_empty() -> None:
    found = timeline(task("pending"), [], [], [], T, idle=False)
    assert (found.runs, found.segments, found.ticks) == ([], [], [])


def figures(start: int, name: str, completed: int, failed: int, p50: int | None, p95: int | None) -> Figures:
    return Figures(start, name, completed + failed, completed, failed, 0, None, None, p50, p95)


BUCKETS = [
    (T, [figures(T, "a", 6, 2, 100, 900), figures(T, "b", 2, 0, 5, 5)]),
    (T + HOUR, []),
    (T + 2 * HOUR, [figures(T + 2 * HOUR, "a", 1, 0, 200, 400)]),
]


def test_a_column_is_as_high_as_its_tasks() -> None:
    found = charts.throughput(BUCKETS, days=False)
    first, second, third = found.columns
    assert [bar.status for bar in first.bars] == ["completed", "failed"]
    completed, failed = first.bars
    assert completed.height == pytest.approx(4 * failed.height, abs=0.2)
    assert completed.y + completed.height == pytest.approx(charts.HEIGHT - charts.BOTTOM, abs=0.2)
    assert failed.y + failed.height == pytest.approx(completed.y, abs=0.2)
    assert (second.bars, len(third.bars)) == ([], 1)
    assert [mark.text for mark in found.scale] == ["5", "10"]
    assert first.text == "00:00 UTC: 8 completed, 2 failed, 0 cancelled"


def test_a_bucket_without_runs_parts_the_lines() -> None:
    found = charts.durations(BUCKETS, "a", days=False)
    assert [len(line.split(" ")) for line in found.p50] == [1, 1]
    assert len(found.dots) == 4
    assert [mark.text for mark in found.scale] == ["500 ms", "1 s"]
    assert found.columns[0].text == "00:00 UTC: half of the runs within 100 ms, 95 % within 900 ms"


@pytest.mark.parametrize("most", [0, 1, 4, 5, 9, 11, 99, 101, 12_345, 10**9])
def test_an_axis_ends_above_the_highest_at_a_round_number(most: int) -> None:
    top = charts._top(most)
    assert most <= top <= max(4, 2 * most + 1)
    assert top == 4 or float(f"{top:.0e}") == top


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\u2013"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (1_500, "1.5 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_661_000, "1 h 1 min"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(ms: int | None, text: str) -> None:
    assert texts.duration(ms) == text


def test_times_are_said_from_now_on() -> None:
    assert [texts.ago(T + at, T) for at in (0, -1_000, -59_000, -7_200_000, 60_000)] == [
        "now",
        "now",
        "59 s ago",
        "2 h ago",
        "in 1 min",
    ]
    assert texts.when(T, T) == ('<time datetime="2030-01-01T00:00:00.000Z" title="2030-01-01 00:00:00 UTC">now</time>')


def test_names_may_break_and_stay_texts() -> None:
    assert texts.pieces("a-b.c_d") == "a-<wbr>b.<wbr>c_<wbr>d"
    assert texts.pieces("<b>-x") == "&lt;b&gt;-<wbr>x"


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0 * * * *", "every hour"),
        ("15 * * * *", "every hour, at minute 15"),
        ("0 */6 * * *", "every 6 hours"),
        ("30 7 * * *", "every day at 07:30"),
        ("0 3 * * 1", "on Monday at 03:00"),
        ("0 9 * * 1-5", "on working days at 09:00"),
        ("0 0 1 * *", "on day 1 of every month at 00:00"),
        ("0 0 24 12 *", "on 24 December at 00:00"),
        ("@daily", "every day at 00:00"),
        ("*/5 9-17 * * *", None),
        ("0 0 1,15 * *", None),
        ("0 0 * * MON#2", None),
    ],
)
def test_a_plan_in_words(cron: str, words: str | None) -> None:
    assert in_words(Plan(cron, None)) == words


def test_a_period_in_words() -> None:
    assert in_words(Plan(None, 90_000)) == "every 1 min 30 s"
