"""Backoff with full jitter, and the rule that says which errors are worth another attempt."""

from __future__ import annotations

import pytest

from quart_app.core.errors import NonRetryable, ResourceFailed, Retry
from quart_app.core.retry import Backoff, after_ms, is_retryable

ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("backoff", "attempt", "ceiling_ms"),
    [
        (Backoff(), 1, 1_000),
        (Backoff(), 2, 2_000),
        (Backoff(), 5, 16_000),
        (Backoff(), 9, 256_000),
        (Backoff(), 10, 300_000),
        (Backoff(), 1_000, 300_000),
        (Backoff(5, 3, 100), 1, 5_000),
        (Backoff(5, 3, 100), 3, 45_000),
        (Backoff(5, 3, 100), 4, 100_000),
        (Backoff(1, 1, 300), 50, 1_000),
        (Backoff(0, 2, 300), 50, 0),
        (Backoff(60, 2, 10), 1, 10_000),
        (Backoff(0.25, 2, 300), 1, 250),
    ],
)
def test_the_jitter_spreads_over_the_whole_delay_from_nothing_to_the_ceiling(
    backoff: Backoff, attempt: int, ceiling_ms: int
) -> None:
    assert backoff.delay_ms(attempt, 0.0) == 0
    assert backoff.delay_ms(attempt, 0.5) == ceiling_ms // 2
    assert ceiling_ms - 1 <= backoff.delay_ms(attempt, ALMOST_ONE) <= ceiling_ms


@pytest.mark.parametrize("attempt", [1, 2, 40, 400, 10**6])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 1e4, 1e10, 1e300])
def test_no_factor_and_no_number_of_attempts_goes_over_the_cap_or_overflows(factor: float, attempt: int) -> None:
    assert 0 <= Backoff(1.0, factor, 300.0).delay_ms(attempt, ALMOST_ONE) <= 300_000


class Custom(ValueError):
    pass


@pytest.mark.parametrize(
    ("error", "retry_on", "no_retry_on", "again"),
    [
        (ValueError(), None, (), True),
        (BaseException(), None, (), True),
        (SystemExit(), None, (), True),
        (ValueError(), (ValueError,), (), True),
        (Custom(), (ValueError,), (), True),
        (KeyError(), (ValueError,), (), False),
        (KeyError(), (), (), False),
        (ValueError(), None, (ValueError,), False),
        (Custom(), None, (ValueError,), False),
        (ValueError(), None, (Custom,), True),
        (Custom(), (ValueError,), (Custom,), False),
        (ValueError(), (ValueError,), (Custom,), True),
        (OSError(), (OSError, ValueError), (KeyError,), True),
    ],
)
def test_an_error_is_judged_by_no_retry_on_before_retry_on(
    error: BaseException,
    retry_on: tuple[type[BaseException], ...] | None,
    no_retry_on: tuple[type[BaseException], ...],
    again: bool,
) -> None:
    assert is_retryable(error, retry_on, no_retry_on) is again


@pytest.mark.parametrize("retry_on", [None, (), (NonRetryable,), (Exception,)])
def test_a_handler_that_raises_non_retryable_is_never_run_again(
    retry_on: tuple[type[BaseException], ...] | None,
) -> None:
    assert not is_retryable(NonRetryable("why"), retry_on, ())


@pytest.mark.parametrize("no_retry_on", [(), (Retry,), (Exception,)])
def test_a_handler_that_raises_retry_is_always_run_again(no_retry_on: tuple[type[BaseException], ...]) -> None:
    assert is_retryable(Retry(after=3), (), no_retry_on)


@pytest.mark.parametrize(
    ("retry_on", "no_retry_on", "again"),
    [(None, (), True), ((KeyError,), (), True), ((), (), True), (None, (ResourceFailed,), False)],
)
def test_a_resource_that_could_not_be_opened_is_tried_again(
    retry_on: tuple[type[BaseException], ...] | None, no_retry_on: tuple[type[BaseException], ...], again: bool
) -> None:
    assert is_retryable(ResourceFailed("model"), retry_on, no_retry_on) is again


def test_a_retry_carries_its_delay_and_a_message_of_its_own() -> None:
    assert Retry(after=30).after == 30
    assert Retry().after is None
    assert str(Retry()) == "retry requested"
    assert str(Retry("upstream is busy", after=1)) == "upstream is busy"


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("outer", [ExceptionGroup("inner", list(errors)), OSError("beside")])


@pytest.mark.parametrize(
    ("error", "retry_on", "no_retry_on", "again"),
    [
        (group(KeyError()), None, (), True),
        (group(ValueError(), KeyError()), None, (ValueError,), False),
        (group(NonRetryable()), None, (), False),
        (group(Retry(), NonRetryable()), None, (), False),
        (group(Retry(), ValueError()), None, (ValueError,), False),
        (group(Retry()), (OSError,), (), True),
        (group(KeyError()), (OSError,), (), False),
        (group(KeyError()), (OSError, KeyError), (), True),
        (group(KeyError()), (ExceptionGroup,), (), True),
        (group(NonRetryable()), (ExceptionGroup,), (), False),
        (group(KeyError()), None, (ExceptionGroup,), False),
    ],
)
def test_a_group_is_retried_when_each_error_in_it_may_be(
    error: BaseException,
    retry_on: tuple[type[BaseException], ...] | None,
    no_retry_on: tuple[type[BaseException], ...],
    again: bool,
) -> None:
    assert is_retryable(error, retry_on, no_retry_on) is again


def test_a_group_waits_for_the_longest_pause_that_was_asked_for_in_it() -> None:
    assert after_ms(group(Retry(after=2), Retry(after=5), Retry())) == 5000
    assert after_ms(group(Retry(), ValueError())) is None
