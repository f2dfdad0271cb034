"""Which time is to be believed, over steps of the wall clock."""

from __future__ import annotations

import random

import pytest

from quart_app.core.trusted_time import STEP, Settled

WINDOW = 15_000
NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


class Hands:
    """Both clocks, and who looks at them."""

    def __init__(self) -> None:
        self.wall, self.up = NOW, 5_000
        self.history = Settled(WINDOW)

    def wait(self, ms: int, each: int = 1_000) -> int:
        """Look as often; what is believed then."""
        while ms > 0:
            tick = min(ms, each)
            self.wall, self.up, ms = self.wall + tick, self.up + tick, ms - tick
            self.history.look(self.wall, self.up)
        return self.history.settled

    def step(self, ms: int) -> int:
        self.wall += ms
        self.history.look(self.wall, self.up)
        return self.history.settled


@pytest.fixture
def hands() -> Hands:
    hands = Hands()
    hands.wait(60_000)
    return hands


def test_a_clock_that_goes_as_it_should_is_believed(hands: Hands) -> None:
    assert hands.wait(100) == hands.wall
    assert hands.history.steady


@pytest.mark.parametrize("ahead", [2 * HOUR, 30 * DAY])
def test_a_step_forward_is_believed_when_it_has_lasted_for_the_window(hands: Hands, ahead: int) -> None:
    true = hands.wall
    assert hands.step(ahead) == true
    for second in range(1, WINDOW // 1000):
        assert hands.wait(1_000) == true + second * 1_000
        assert not hands.history.steady
    assert hands.wait(2_000) == hands.wall
    assert hands.history.steady


def test_a_step_back_is_believed_at_once(hands: Hands) -> None:
    assert hands.step(-2 * HOUR) == hands.wall
    assert not hands.history.steady
    assert hands.wait(WINDOW + 1_000) == hands.wall
    assert hands.history.steady


def test_what_lasted_for_less_than_the_window_was_never_believed(hands: Hands) -> None:
    true = hands.wall
    hands.step(30 * DAY)
    assert hands.wait(5_000) == true + 5_000
    assert hands.step(-30 * DAY) == hands.wall == true + 5_000
    assert hands.wait(60_000) == true + 65_000


def test_steps_to_and_fro_never_make_it_believe_more_than_the_least(hands: Hands) -> None:
    """However they come, nothing is believed that was not true for a whole window."""
    chance = random.Random(7)
    offsets = [(hands.up, 0)]
    for _ in range(2_000):
        if chance.random() < 0.1:
            offset = chance.choice([0, 2 * HOUR, -2 * HOUR, 30 * DAY])
            hands.step(NOW + hands.up - 5_000 + offset - hands.wall)
            offsets.append((hands.up, offset))
        believed = hands.wait(1_000)
        lately = [offset for at, offset in offsets if at > hands.up - WINDOW]
        before = [offset for at, offset in offsets if at <= hands.up - WINDOW][-1:]
        assert believed <= NOW + hands.up - 5_000 + min([*before, *lately])


def test_a_clock_that_is_slewed_and_read_a_moment_later_is_believed(hands: Hands) -> None:
    for _ in range(600):
        hands.wall += random.Random(hands.up).choice([-1, 0, 1])
        assert hands.wait(1_000) == hands.wall
        assert hands.history.steady
    assert hands.step(STEP - 100) == hands.wall, "no step"


def test_after_a_time_without_a_look_the_step_in_it_must_last_from_the_first_one_on(hands: Hands) -> None:
    """The process was stopped, or the machine slept: nobody knows when in that time the clock was set."""
    true = hands.wall + 600_000
    hands.up += 600_000
    hands.wall += 600_000
    assert hands.step(30 * DAY) == true
    assert hands.wait(WINDOW - 1_000) == true + WINDOW - 1_000
    assert hands.wait(3_000) == hands.wall


def test_after_a_start_it_counts_from_what_was_known_until_the_window_has_passed() -> None:
    hands = Hands()
    hands.history.begin(NOW - DAY, hands.up)
    assert hands.step(0) == NOW - DAY
    assert not hands.history.steady
    assert hands.wait(10_000) == NOW - DAY + 10_000
    assert hands.wait(WINDOW) == hands.wall
    assert hands.history.steady


def test_after_a_start_with_a_clock_that_is_behind_what_was_known_the_clock_is_believed() -> None:
    hands = Hands()
    hands.history.begin(NOW + DAY, hands.up)
    assert hands.step(0) == NOW


def test_a_first_start_believes_the_clock() -> None:
    hands = Hands()
    assert hands.step(0) == NOW
    assert hands.history.steady


def test_many_looks_in_a_second_are_kept_as_one(hands: Hands) -> None:
    hands.wait(100_000, each=10)
    assert len(hands.history._seconds) <= WINDOW // 1000 + 2
