"""Rates of limits, as text and back; how many tasks a limit lets start."""

from __future__ import annotations

import pytest

from quart_app.core.claim_limits import Rate, rate, room_of


@pytest.mark.parametrize(
    ("text", "starts", "window_ms"),
    [
        ("100/60", 100, 60_000),
        ("1/0.001", 1, 1),
        ("1/0.25", 1, 250),
        ("1/0.02", 1, 20),
        ("99999/1.5", 99_999, 1_500),
        ("100000/9999999.999", 100_000, 9_999_999_999),
        ("5/2678400", 5, 2_678_400_000),
    ],
)
def test_a_rate_is_read_and_written(text: str, starts: int, window_ms: int) -> None:
    assert rate(text) == Rate(starts, window_ms)
    assert str(rate(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "5", "/60", "5/", "0/60", "-1/60", "5/0", "5/0.0", "5/0.000", "5/.5", "5/1.0001", "05/60", "5/060",
     "100001/60", "5/10000000", "5/60\n", " 5/60", "5 / 60", "5/6e1", "\u0665/60", "5/60/60", None, 5, 5.0, ["5/60"]],
)  # fmt: skip
def test_what_is_no_rate_is_refused_with_a_reason(text: object) -> None:
    with pytest.raises(ValueError, match="as in '100/60'"):
        rate(text)


def test_the_narrower_of_two_limits_counts() -> None:
    per_minute = Rate(10, 60_000)
    assert room_of(None, 5, None, 5) is None
    assert room_of(3, 1, None, 0) == 2
    assert room_of(3, 1, per_minute, 9) == 1
    assert room_of(9, 1, per_minute, 12) == 0
