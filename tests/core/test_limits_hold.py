"""Random histories of calls, answers, crashes, clock steps and reboots: the other side never counts more than the
limit in any window, wherever between request and answer it counts."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis", reason="pip install -r requirements-dev.txt brings hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from quart_app.core.limits import Limit, Moment

WINDOW = 1000  # ms
HOUR = 3_600_000

milliseconds = st.integers(0, 3 * WINDOW)
# What happens: somebody asks for a call that takes so long and is counted after that share of it; time passes; the
# process dies and is started again after so long; meanwhile the clock is stepped, or the machine is started again.
asks = st.tuples(st.just("ask"), milliseconds, st.floats(0, 1))
passes = st.tuples(st.just("pass"), milliseconds, st.just(0.0))
crashes = st.tuples(st.just("crash"), milliseconds, st.just(0.0))
steps = st.tuples(st.just("step"), st.sampled_from([-2 * HOUR, -WINDOW, WINDOW, 2 * HOUR]), st.just(0.0))
reboots = st.tuples(st.just("reboot"), milliseconds, st.just(0.0))
Event = tuple[str, int, float]


class World:
    """One limit, as the engine keeps it, and the other side, which counts."""

    def __init__(self, max_calls: int) -> None:
        self.limit = Limit(max_calls, WINDOW)
        self.now = 0
        self.wall = 10 * HOUR
        self.boot = 0
        self.dates: list[float] = []
        self.kept: list[Moment] = []
        self.in_flight: list[tuple[int, float]] = []  # when it will be answered, and counted
        self.counted: list[float] = []

    @property
    def moment(self) -> Moment:
        return Moment(self.wall + self.now, self.now - self.boot)

    def happen(self, event: Event) -> None:
        what, amount, share = event
        match what:
            case "ask":
                if self.limit.opens_at(self.dates, len(self.in_flight), self.now) == self.now:
                    self.in_flight.append((self.now + amount, self.now + share * amount))
            case "pass":
                self.let_pass(amount)
            case "step":
                self.wall += amount
            case "crash" | "reboot":
                self.die(amount, what == "reboot")

    def let_pass(self, amount: int) -> None:
        ends = self.now + amount
        for answered, counted in sorted(one for one in self.in_flight if one[0] <= ends):
            self.in_flight.remove((answered, counted))
            self.counted.append(counted)
            self.now = answered
            self.dates.append(self.now)
            self.kept.append(self.moment)
        self.now = ends

    def die(self, down: int, reboot: bool) -> None:
        """What is in flight has been counted by now; the next life knows what was kept, and no more."""
        self.counted += [min(counted, self.now) for _, counted in self.in_flight]
        self.now += down
        if reboot:
            self.boot = self.now
        self.kept += [self.moment] * len(self.in_flight)
        self.in_flight = []
        self.dates = sorted(self.now - moment.age(self.moment) for moment in self.kept)

    def most_in_a_window(self) -> int:
        counted = sorted(self.counted + [counted for _, counted in self.in_flight])
        return max((sum(end - WINDOW < one <= end for one in counted) for end in counted), default=0)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.lists(asks | asks | passes | crashes | steps, max_size=60))
def test_no_window_ever_holds_too_many_over_crashes_and_clock_steps(max_calls: int, events: list[Event]) -> None:
    world = World(max_calls)
    for event in events:
        world.happen(event)
    assert world.most_in_a_window() <= max_calls


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.lists(asks | asks | passes | crashes | reboots, max_size=60))
def test_no_window_ever_holds_too_many_over_reboots(max_calls: int, events: list[Event]) -> None:
    world = World(max_calls)
    for event in events:
        world.happen(event)
    assert world.most_in_a_window() <= max_calls


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 3 * WINDOW), min_size=1, max_size=40), st.integers(0, 5))
def test_it_opens_at_the_first_moment_that_is_allowed(max_calls: int, ages: list[int], in_flight: int) -> None:
    now = 10 * WINDOW
    dates = sorted(now - age for age in ages)
    limit = Limit(max_calls, WINDOW)
    opens = limit.opens_at(dates, in_flight, now)

    def room(at: float) -> bool:
        return len(limit.inside(dates, at)) + in_flight < max_calls

    if opens is None:
        assert in_flight >= max_calls
    else:
        assert room(opens)
        assert opens == now or not room(opens - 1)


def test_these_histories_find_a_limit_that_dates_calls_by_their_start() -> None:
    """A call that takes long: dated by its start, it would have left the window while the other side counts it."""
    world = World(1)
    for event in (("ask", WINDOW, 1.0), ("pass", WINDOW, 0.0)):
        world.happen(event)
    world.dates = [0.0]
    for event in (("ask", 0, 0.0), ("pass", 0, 0.0)):
        world.happen(event)
    assert world.most_in_a_window() == 2
