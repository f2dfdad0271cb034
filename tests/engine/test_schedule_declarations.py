"""`@schedule`: what it declares, and mistakes told when the module is imported."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app import schedule, task
from quart_app.core.errors import ConfigError


async def nothing(n: int = 0) -> int:
    return n


def test_it_declares_a_schedule_and_the_function_stays_callable() -> None:
    kind = schedule("0 * * * *", timezone="Europe/Paris")(task("hourly")(nothing))
    (one,) = kind.schedules
    shown = (one.name, one.kind, one.args, one.cron, one.timezone)
    assert shown == ("hourly", "hourly", "{}", "0 * * * *", "Europe/Paris")
    assert (one.source, one.overlap, one.catch_up, one.paused) == ("code", "skip", "one", False)


def test_a_kind_may_have_several_with_args_of_their_own() -> None:
    kind = task("job")(nothing)
    for number, name in enumerate(("one", "two")):
        kind = schedule(every=1.5, name=name, args={"n": number}, overlap="queue", catch_up="all")(kind)
    assert [(one.name, one.args, one.every_ms) for one in kind.schedules] == [
        ("one", '{"n":0}', 1500),
        ("two", '{"n":1}', 1500),
    ]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, "cron or every"),
        ({"cron": "* * * * *", "every": 5}, "cron or every"),
        ({"cron": "* * * *"}, "five fields"),
        ({"cron": "0 0 31 2 *"}, "day-of-month"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "timezone"),
        ({"every": 0.5}, "every must"),
        ({"every": "5"}, "every must"),
        ({"every": float("nan")}, "every must"),
        ({"every": float("inf")}, "every must"),
        ({"every": True}, "every must"),
        ({"cron": 5}, "cron must"),
        ({"every": 5, "timezone": None}, "timezone"),
        ({"every": 5, "name": 5}, "name must"),
        ({"every": 5, "args": [1]}, "args must"),
        ({"every": 5, "overlap": ["skip"]}, "overlap"),
        ({"every": 5, "name": "No"}, "the name"),
        ({"every": 5, "overlap": "no"}, "overlap"),
        ({"every": 5, "catch_up": "no"}, "catch_up"),
        ({"every": 5, "args": {"m": 1}}, "/m"),
        ({"every": 5, "args": {"n": {1}}}, "n"),
        ({"every": 5, "args": {"n": "x"}}, "/n"),
    ],
)
def test_a_mistake_is_told(given: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        schedule(**given)(task("job")(nothing))


def test_it_stands_above_task() -> None:
    with pytest.raises(ConfigError, match="above"):
        schedule(every=5)(nothing)  # type: ignore[arg-type]


def test_a_kind_of_a_long_name_wants_a_name_for_its_schedule() -> None:
    with pytest.raises(ConfigError, match="name"):
        schedule(every=5)(task("k" * 65)(nothing))
