"""What is said of a task that waits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quart_app.core.explanation import LimitState, Place, Standing, explain
from quart_app.core.task import Task
from tests.clock import START

NOW = START + 60_000
TASK = Task(
    **{
        **dict.fromkeys(Task.__struct_fields__),
        **{"seq": 7, "id": "t", "kind": "mail", "queue": "default", "owner": "", "status": "pending", "priority": 0},
        **{"run_at": START, "attempt": 0, "max_attempts": 3, "crashes": 0, "version": 1, "created_at": START},
        "cause": "enqueue",
    }
)
STANDING = Standing(True, 0, False, False, None, 0, (), (1000,) * 10)
FULL = Place(0, 4, False)
FREE = Place(2, 4, False)


def said(task: dict[str, Any], standing: dict[str, Any], place: Place = FREE) -> Any:
    return explain(msgspec.structs.replace(TASK, **task), STANDING._replace(**standing), place, NOW)


@pytest.mark.parametrize(
    ("task", "standing", "place", "reason", "words"),
    [
        ({"status": "completed"}, {}, FREE, "ended", "It has completed"),
        ({"status": "cancelled"}, {}, FREE, "ended", "It was cancelled"),
        ({"status": "processing", "attempt": 2, "started_at": START}, {}, FREE, "running", "attempt 2"),
        ({}, {}, FREE, "starting", "It starts now"),
        ({"run_at": NOW + 9000}, {"ready": False}, FREE, "scheduled", "later time"),
        ({"attempt": 1}, {"ready": False}, FREE, "retrying", "Attempt 1 of 3"),
        ({}, {"ready": False, "crashes": 1}, FREE, "retrying", "died once"),
        ({"waiting_for": "time"}, {"ready": False}, FREE, "sleeping", "sleeps"),
        ({"waiting_for": "children", "children": 5, "children_ended": 2}, {"ready": False}, FREE, "children", "3 of 5"),
        ({"waiting_for": "signal:go"}, {"ready": False}, FREE, "signal", "'go'"),
        ({"waiting_for": "kind:mail"}, {"ready": False}, FREE, "no_handler", "no server here"),
        ({"waiting_for": "unique_key"}, {"ready": False}, FREE, "behind", "its unique key"),
        ({}, {"queue_paused": True}, FREE, "queue_paused", "queue is paused"),
        ({}, {"kind_paused": True}, FREE, "kind_paused", "kind is paused"),
        ({}, {"crashes": 2}, FREE, "suspect", "died 2 times"),
        ({}, {}, Place(2, 4, True), "draining", "stopping"),
        ({}, {}, FULL, "slots", "4 tasks run"),
        ({}, {"before": 1}, FULL, "behind", "1 task is before it"),
        ({}, {"before": 1001}, FULL, "behind", "more than 1000 tasks are"),
        ({}, {"parked": "a"}, FREE, "limit", "'a' holds it back"),
        ({}, {"limits": (LimitState("a", None, 2, 2, True),)}, FREE, "limit", "2 tasks run, and 2 may"),
        ({}, {"limits": (LimitState("r", NOW + 500, 0, None, True),)}, FREE, "limit", "window"),
    ],
)
def test_each_reason_has_its_sentence(
    task: dict[str, Any], standing: dict[str, Any], place: Place, reason: str, words: str
) -> None:
    found = said(task, standing, place)
    assert found.reason == reason
    assert words.lower() in found.text.lower()


def test_the_expected_times_come_from_the_last_runs() -> None:
    behind = said({}, {"before": 7}, FULL)
    assert (behind.expected_start, behind.expected_end, behind.based_on) == (NOW + 2000, NOW + 3000, 10)
    one_at_once = said({}, {"before": 7, "limits": (LimitState("a", None, 1, 1, True),)}, FULL)
    assert one_at_once.expected_start == NOW + 8000
    running = said({"status": "processing", "attempt": 1, "started_at": NOW - 400}, {})
    assert (running.expected_start, running.expected_end) == (None, NOW + 600)


def test_nothing_is_expected_without_runs_and_of_what_nobody_knows() -> None:
    unknown = said({}, {"before": 7, "runs": ()}, FULL)
    assert (unknown.expected_start, unknown.expected_end, unknown.based_on) == (None, None, None)
    signal = said({"waiting_for": "signal:go"}, {"ready": False})
    assert (signal.expected_start, signal.based_on, signal.position) == (None, None, None)
    later = said({"run_at": NOW + 9000}, {"ready": False, "runs": ()})
    assert (later.expected_start, later.expected_end) == (NOW + 9000, None)


@pytest.mark.parametrize(("before", "windows"), [(0, 0), (1, 0), (2, 1), (9, 4)])
def test_under_a_full_rate_the_tasks_before_it_use_up_windows(before: int, windows: int) -> None:
    hour = 3_600_000
    limit = LimitState("a", NOW + 60_000, 0, None, True, 2, hour)
    found = said({}, {"limits": (limit,), "before": before})
    assert found.expected_start == NOW + 60_000 + windows * hour
