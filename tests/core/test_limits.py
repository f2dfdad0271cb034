"""Sliding windows: what they admit, how old an entry of a former life is, what Retry-After says."""

from __future__ import annotations

import pytest

from quart_app.core.limits import Limit, Moment, retry_after
from tests.clock import START

TEN_A_MINUTE = Limit(10, 60.0)


@pytest.mark.parametrize(
    ("dates", "in_flight", "opens"),
    [
        ([], 0, 100.0),
        ([], 9, 100.0),
        ([], 10, None),
        ([50.0] * 9, 0, 100.0),
        ([50.0] * 10, 0, 110.0),
        ([50.0, 70.0] + [99.0] * 8, 0, 110.0),
        ([50.0, 70.0] + [99.0] * 8, 1, 130.0),
        ([50.0, 70.0] + [99.0] * 8, 3, 159.0),
        ([99.0] * 3, 9, 159.0),
        ([99.0] * 3, 10, None),
        ([1.0] * 40, 0, 100.0),
        ([40.0] + [90.0] * 9, 0, 100.0),
        ([40.1] + [90.0] * 9, 0, 100.1),
        ([90.0] * 25, 0, 150.0),
    ],
)
def test_a_limit_opens_when_enough_of_what_counts_has_left_the_window(
    dates: list[float], in_flight: int, opens: float | None
) -> None:
    assert TEN_A_MINUTE.opens_at(dates, in_flight, now=100.0) == (pytest.approx(opens) if opens else None)


def test_a_call_counts_until_exactly_one_window_after_its_date() -> None:
    assert Limit(1, 60_000).inside([40_000, 40_001, 99_000], 100_000) == [40_001, 99_000]
    assert Limit(1, 60_000).opens_at([40_000], 0, 100_000) == 100_000
    assert Limit(1, 60_000).opens_at([40_001], 0, 100_000) == 100_001


@pytest.mark.parametrize(
    ("wall", "up", "age"),
    [
        pytest.param(5_000, 5_000, 5_000, id="both clocks agree"),
        pytest.param(7_205_000, 5_000, 5_000, id="the wall clock was set forward by two hours"),
        pytest.param(-7_195_000, 5_000, 0, id="set back by two hours: it counts as new"),
        pytest.param(5_000, -80_000, 5_000, id="another boot, shorter than the last one was"),
        pytest.param(90_000, 5_000, 5_000, id="another boot, longer than the last one was: the smaller counts"),
    ],
)
def test_the_age_over_a_restart_is_never_more_than_a_clock_can_prove(wall: int, up: int, age: int) -> None:
    assert Moment(START, 90_000).age(Moment(START + wall, 90_000 + up)) == age


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 9_999_999_999.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, START) == seconds
