"""What becomes of a run and of a crash: every outcome, every border of the tables in core/lifecycle.py."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quart_app.core import lifecycle
from quart_app.core.lifecycle import (
    Cancel,
    Cancelled,
    Complete,
    Fail,
    Outcome,
    Raised,
    Release,
    Resume,
    RetryAt,
    Stopped,
    Succeeded,
    Suspend,
    Unregistered,
)
from quart_app.core.retry import Backoff
from quart_app.core.task import STATUSES, TERMINAL, Claimed, Orphan, TaskError

NOW = 1_700_000_000_000
ERROR = TaskError(type="ValueError", message="no")
TASK = Claimed(
    id="t",
    fence=7,
    kind="thumbnail",
    args="{}",
    queue="default",
    owner="",
    attempt=1,
    max_attempts=3,
    crashes=0,
    lived_ms=0,
    timeout_ms=1000,
    cancel_requested=False,
    has_steps=False,
    traceparent=None,
)
BACKOFF = Backoff(first=10, factor=2, cap=300)


def decide(outcome: Outcome, jitter: float = 0.5, **changes: Any) -> lifecycle.Decision:
    return lifecycle.after_run(msgspec.structs.replace(TASK, **changes), outcome, NOW, BACKOFF, lambda: jitter)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_run_that_succeeded_completes_whatever_attempt_it_was(attempt: int) -> None:
    assert decide(Succeeded('{"a":1}'), attempt=attempt) == Complete('{"a":1}')


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_cancelled_run_ends_cancelled_whatever_attempts_are_left(attempt: int) -> None:
    assert decide(Cancelled(), attempt=attempt) == Cancel()


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_run_stopped_with_the_server_is_released_even_in_its_last_attempt(attempt: int) -> None:
    assert decide(Stopped(), attempt=attempt) == Release()


def test_a_task_without_a_handler_waits_for_its_kind() -> None:
    assert decide(Unregistered(), attempt=3) == Suspend(waiting_for="kind:thumbnail")


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "again"),
    [(1, 1, False), (1, 2, True), (2, 2, False), (2, 3, True), (3, 3, False), (4, 3, False)],
)
def test_an_error_is_tried_again_until_the_attempts_are_used_up(attempt: int, max_attempts: int, again: bool) -> None:
    decision = decide(Raised(ERROR), attempt=attempt, max_attempts=max_attempts)
    assert isinstance(decision, RetryAt if again else Fail)
    assert decision.error == ERROR


def test_an_error_that_is_not_retryable_fails_at_once_and_says_so() -> None:
    decision = decide(Raised(ERROR, retryable=False), attempt=1, max_attempts=9)
    assert decision == Fail(msgspec.structs.replace(ERROR, retryable=False))


def test_a_retryable_error_in_the_last_attempt_keeps_its_mark() -> None:
    decision = decide(Raised(ERROR), attempt=3)
    assert isinstance(decision, Fail)
    assert decision.error.retryable


@pytest.mark.parametrize(
    ("attempt", "jitter", "delay"),
    [(1, 0.0, 0), (1, 0.5, 5_000), (2, 0.5, 10_000), (3, 0.5, 20_000), (8, 0.5, 150_000), (1, 0.999, 9_990)],
)
def test_a_retry_waits_a_jittered_part_of_its_backoff(attempt: int, jitter: float, delay: int) -> None:
    decision = decide(Raised(ERROR), jitter, attempt=attempt, max_attempts=99)
    assert decision == RetryAt(run_at=NOW + delay, error=ERROR)


@pytest.mark.parametrize("after_ms", [0, 1, 30_000, 10**9])
def test_a_handler_that_names_its_delay_gets_exactly_that(after_ms: int) -> None:
    decision = decide(Raised(ERROR, after_ms=after_ms), jitter=0.9)
    assert decision == RetryAt(run_at=NOW + after_ms, error=ERROR)


def test_a_named_delay_does_not_buy_another_attempt() -> None:
    assert isinstance(decide(Raised(ERROR, after_ms=5), attempt=3), Fail)


# --- crashes


def crash(crashes: int, max_crashes: int = 10, cancel: bool = False, sole: int = 0) -> Resume | Cancel | Fail:
    orphan = Orphan(id="t", fence=1, crashes=crashes, cancel_requested=cancel, kind="k", sole=sole)
    return lifecycle.after_crash(orphan, NOW, max_crashes)


@pytest.mark.parametrize(
    ("before", "pause"),
    [
        (0, None),
        (1, None),
        (2, 1_000),
        (3, 5_000),
        (4, 30_000),
        (5, 120_000),
        (6, 120_000),
        (7, 120_000),
        (8, 120_000),
    ],
)
def test_the_first_two_crashes_resume_at_once_and_suspects_wait_longer_and_longer(
    before: int, pause: int | None
) -> None:
    assert crash(before) == Resume(run_at=None if pause is None else NOW + pause)


@pytest.mark.parametrize(("before", "max_crashes"), [(9, 10), (10, 10), (50, 10), (0, 1), (2, 3)])
def test_the_last_allowed_crash_poisons_the_task_that_nobody_else_can_have_caused(
    before: int, max_crashes: int
) -> None:
    decision = crash(before, max_crashes, sole=before)
    assert isinstance(decision, Fail)
    assert decision.error.type == "poisoned"
    assert not decision.error.retryable
    assert str(before + 1) in decision.error.message


@pytest.mark.parametrize(("before", "sole", "max_crashes"), [(9, 2, 10), (9, 0, 10), (99, 2, 10), (2, 0, 3), (3, 1, 4)])
def test_a_task_is_not_called_poisoned_for_crashes_that_others_may_have_caused(
    before: int, sole: int, max_crashes: int
) -> None:
    assert isinstance(crash(before, max_crashes, sole=sole), Resume)


@pytest.mark.parametrize(("max_crashes", "sole"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (10, 3), (1000, 3)])
def test_how_many_crashes_must_be_a_tasks_own(max_crashes: int, sole: int) -> None:
    assert lifecycle.sole_crashes(max_crashes) == sole


def test_suspects_run_in_ever_smaller_groups_and_the_last_ones_alone() -> None:
    assert lifecycle.suspect_seats(64, 10) == lifecycle.suspect_seats(64, 1000) == [32, 8, 2, 1]
    assert lifecycle.suspect_seats(2, 10) == [1, 1, 1, 1]


@pytest.mark.parametrize(("max_crashes", "seats"), [(1, [1]), (4, [1]), (5, [1]), (6, [32, 1]), (7, [32, 8, 1])])
def test_they_run_alone_early_enough_to_be_found_out_in_time(max_crashes: int, seats: list[int]) -> None:
    assert lifecycle.suspect_seats(64, max_crashes) == seats


@pytest.mark.parametrize(
    ("lived_ms", "seconds"), [(0, 10), (4_999, 10), (5_001, 10.002), (60_000, 120), (30 * 86_400_000, 3600)]
)
def test_a_suspect_gives_up_its_seat_when_it_runs_much_longer_than_before(lived_ms: int, seconds: float) -> None:
    assert lifecycle.suspect_seconds(lived_ms) == seconds


@pytest.mark.parametrize(("before", "max_crashes"), [(8, 10), (0, 2), (1, 3)])
def test_one_crash_below_the_limit_still_resumes(before: int, max_crashes: int) -> None:
    assert isinstance(crash(before, max_crashes), Resume)


@pytest.mark.parametrize("before", [0, 2, 9, 30])
def test_a_cancel_that_was_asked_for_wins_over_resuming_and_over_poison(before: int) -> None:
    assert crash(before, cancel=True) == Cancel()


def test_a_task_becomes_a_suspect_with_its_second_crash_and_pauses_from_the_third() -> None:
    assert lifecycle.SUSPECT_CRASHES == 2
    assert lifecycle.CRASH_PAUSES_MS == (0, 0, 1_000, 5_000, 30_000, 120_000)


# --- the table


def test_every_transition_of_the_documented_table_is_there_and_no_other() -> None:
    expected = {
        ("", "enqueue", "pending"),
        ("pending", "claim", "processing"),
        ("processing", "complete", "completed"),
        ("processing", "retry", "pending"),
        ("processing", "fail", "failed"),
        ("processing", "suspend", "pending"),
        ("processing", "release", "pending"),
        ("processing", "cancel_requested", "processing"),
        ("pending", "cancel", "cancelled"),
        ("processing", "cancel", "cancelled"),
        ("pending", "expire", "failed"),
        ("failed", "rerun", "pending"),
        ("cancelled", "rerun", "pending"),
    }
    table = {
        (start, cause, end) for cause, (starts, end) in lifecycle.TRANSITIONS.items() for start in (starts or {""})
    }
    assert table == expected
    assert (frozenset({"processing"}), frozenset({"pending", "failed"})) == lifecycle.CRASH


def test_no_transition_leaves_a_terminal_status_except_a_rerun() -> None:
    leaving = {cause for cause, (starts, _) in lifecycle.TRANSITIONS.items() if starts & TERMINAL}
    assert leaving == {"rerun"}
    assert not lifecycle.CRASH[0] & TERMINAL
    assert not any("completed" in starts for starts, _ in lifecycle.TRANSITIONS.values())


def test_the_table_speaks_of_the_five_statuses_only() -> None:
    named = {status for starts, end in lifecycle.TRANSITIONS.values() for status in (*starts, end)}
    assert named == set(STATUSES)
