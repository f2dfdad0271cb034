"""When schedules fire: cron over month ends, leap years and both nights of a time zone, missed fires, overlap."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from quart_app.core.errors import InvalidArgs, InvalidInput
from quart_app.core.schedule import GRACE, MAX_COUNTED, MAX_FIRES, Plan, Schedule, Turn, first_fire, next_fire, turn

NEW_YORK = "America/New_York"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(text: str) -> int:
    """RFC 3339 without the zone, UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * 1000


def fires(cron: str, zone: str, after: str, number: int) -> list[str]:
    """The next fires, each computed from the one before, as the scheduler does."""
    found = []
    at = ms(after)
    for _ in range(number):
        following = next_fire(Plan(cron, None, zone), at)
        assert following is not None
        assert following > at
        at = following
        found.append(datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 * * * *", "UTC", "2026-11-21T09:00:00", ["2026-11-21 10:00", "2026-11-21 11:00"]),
        ("0 * * * *", "UTC", "2026-11-21T08:59:59", ["2026-11-21 09:00"]),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00:00", ["2026-03-31 00:00", "2026-05-31 00:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 L 2 *", "UTC", "2027-01-01T00:00:00", ["2027-02-28 00:00", "2028-02-29 00:00"]),
        ("59 23 31 12 *", "UTC", "2026-12-31T23:58:59", ["2026-12-31 23:59", "2027-12-31 23:59"]),
        ("0 9 * * mon#2", "UTC", "2026-11-01T00:00:00", ["2026-11-09 09:00", "2026-12-14 09:00"]),
        ("0 0 13 * fri", "UTC", "2026-11-10T00:00:00", ["2026-11-13 00:00", "2026-11-20 00:00"]),
        ("30 5 * * *", "Asia/Kolkata", "2026-11-21T00:00:00", ["2026-11-22 00:00"]),
        # The night of the gap, 2:00 to 3:00: once, at the next minute that exists; 2:30 EDT from then on.
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00:00", ["2026-03-08 07:00", "2026-03-09 06:30"]),
        ("0,30 2 * * *", NEW_YORK, "2026-03-07T12:00:00", ["2026-03-08 07:00", "2026-03-09 06:00"]),
        ("30 * * * *", NEW_YORK, "2026-03-08T06:00:00", ["2026-03-08 06:30", "2026-03-08 07:30"]),
        # The night of the overlap, 1:00 to 2:00 twice: once, in the first pass.
        ("30 1 * * *", NEW_YORK, "2026-11-01T00:00:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
        ("0 1-2 * * *", NEW_YORK, "2026-11-01T00:00:00", ["2026-11-01 05:00", "2026-11-01 07:00"]),
        ("30 * * * *", NEW_YORK, "2026-11-01T05:00:00", ["2026-11-01 05:30", "2026-11-01 06:30"]),
        # Begun in the second pass, where cronsim alone would answer with a time that is over.
        ("30 1 * * *", NEW_YORK, "2026-11-01T06:10:00", ["2026-11-02 06:30"]),
        ("0-59 1 * * *", NEW_YORK, "2026-11-01T06:10:00", ["2026-11-02 06:00"]),
        # A zone whose clock skips midnight.
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00", ["2026-04-23 22:00", "2026-04-24 21:00"]),
    ],
)
def test_cron_fires_at(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert fires(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("name", "fields"),
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }.items(),
)
@pytest.mark.parametrize("zone", ["UTC", NEW_YORK])
def test_the_names_of_crontab_stand_for_their_fields(name: str, fields: str, zone: str) -> None:
    at = ms("2026-03-07T12:34:56")
    assert first_fire(Plan(name, None, zone), at) == first_fire(Plan(fields, None, zone), at)
    assert next_fire(Plan(name, None, zone), at) == next_fire(Plan(fields, None, zone), at)


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Australia/Lord_Howe", "Africa/Cairo", "Europe/London"])
@pytest.mark.parametrize("cron", ["*/10 * * * *", "30 1,2 * * *", "15 0-4 * * *", "*/20 1-3 * * *", "0 */2 * * *"])
def test_around_the_nights_of_a_year_the_fires_rise_wherever_one_begins(cron: str, zone: str) -> None:
    plan = Plan(cron, None, zone)
    for day in ("2026-03-08T00:00:00", "2026-04-05T00:00:00", "2026-10-04T00:00:00", "2026-11-01T00:00:00"):
        at, walked = ms(day) - 12 * HOUR, []
        while at < ms(day) + 12 * HOUR:
            following = next_fire(plan, at)
            assert following is not None
            assert following > at
            walked.append(at := following)
        begins = ms(day) - 12 * HOUR
        for after in range(begins, walked[-1], 17 * MINUTE):
            found = next_fire(plan, after)
            assert found is not None
            assert found > after


@pytest.mark.parametrize(
    "cron",
    [
        *(
            "",
            "*",
            "* * * *",
            "* * * * * *",
            "@reboot",
            "@Hourly",
            "@every 1h",
            "0 0 31 2 *",
            "0 0 30 2 */2",
            "*/0 * * * *",
            "60 * * * *",
        ),
        *(
            "* 24 * * *",
            "0 0 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "-1 * * * *",
            "1.5 * * * *",
            "a * * * *",
        ),
        *("* * * * *\n", " * * * * *", "*  * * * *", "٣ * * * *", "0 0 */31 2 MON#5", "0 0 * * MON#6", "² * * * *"),
        *("*" * 10_000, "* " * 5_000, "0," * 1_000 + "0 * * * *", "9" * 300 + " * * * *", "1" * 200 + " * * * *"),
    ],
)
def test_what_is_no_cron_is_refused_and_says_where(cron: str) -> None:
    with pytest.raises(InvalidInput) as error:
        first_fire(Plan(cron, None), 0)
    assert error.value.pointer == "/cron"
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "zone",
    [
        *("../../etc/passwd", "/etc/localtime", "Mars/Olympus", "", "utc ", "America", "posix/UTC", "right/UTC"),
        *("localtime", "posixrules", "Europe/Paris\0", "Europe/../UTC", "zone.tab", "tzdata", "x" * 1_000_000),
    ],
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput) as error:
        first_fire(Plan("* * * * *", None, zone), 0)
    assert error.value.pointer == "/timezone"


def test_a_plan_has_cron_or_a_period() -> None:
    for plan in (Plan(None, None), Plan("* * * * *", 1000)):
        with pytest.raises(InvalidArgs):
            first_fire(plan, 0)
    assert first_fire(Plan(None, 1500), 100) == 1600


# --- what is due


def schedule(next_at: int, **changes: Any) -> Schedule:
    given: dict[str, Any] = {"name": "s", "kind": "k", "next_at": next_at, "cron": "* * * * *"}
    if "every_ms" in changes:
        given["cron"] = None
    return Schedule(**{**given, **changes})


T = ms("2026-11-21T09:00:00")


def test_a_fire_that_is_due_is_made_and_the_next_follows_it() -> None:
    assert turn(schedule(T), T, False) == Turn((T,), T + MINUTE, 1)
    assert turn(schedule(T), T + 59_999, False) == Turn((T,), T + MINUTE, 1)
    assert turn(schedule(T, every_ms=1500), T + 100, False) == Turn((T,), T + 1500, 1)


@pytest.mark.parametrize("catch_up", ["skip", "one", "all"])
@pytest.mark.parametrize("changes", [{}, {"every_ms": MINUTE}], ids=["cron", "every"])
def test_after_26_hours_one_fire_or_none_or_all_in_bites(catch_up: Any, changes: Any) -> None:
    one = schedule(T, catch_up=catch_up, overlap="queue", **changes)
    now = T + 26 * HOUR - 30_000
    done = turn(one, now, False)
    if catch_up == "skip":
        assert done == Turn((), T + 26 * HOUR, 26 * 60)
    elif catch_up == "one":
        assert done == Turn((T + 26 * HOUR - MINUTE,), T + 26 * HOUR, 26 * 60)
    else:
        made = []
        while one.next_at is not None and one.next_at <= now:
            done = turn(one, now, True)
            assert 0 < len(done.fires) <= MAX_FIRES
            made += done.fires
            one = schedule(done.next_at or 0, catch_up=catch_up, overlap="queue", **changes)
        assert made == [T + n * MINUTE for n in range(26 * 60)]
        assert one.next_at == T + 26 * HOUR


@pytest.mark.parametrize("changes", [{}, {"every_ms": 1000}], ids=["cron", "every"])
def test_years_of_missed_fires_are_not_walked(changes: Any) -> None:
    done = turn(schedule(T, timezone=NEW_YORK, **changes), T + 2000 * DAY + 5, False)
    assert done.fires == (T + 2000 * DAY,)
    assert done.next_at == T + 2000 * DAY + (1000 if changes else MINUTE)
    assert done.due >= MAX_COUNTED


def test_a_fire_that_is_a_little_late_is_none_that_was_missed() -> None:
    hourly = schedule(T, cron="0 * * * *", catch_up="skip")
    assert turn(hourly, T + GRACE, False).fires == (T,)
    assert turn(hourly, T + GRACE + 1, False).fires == ()
    old = schedule(T - 10_000 * HOUR, cron="0 * * * *", catch_up="skip")
    assert turn(old, T + GRACE, False) == Turn((T,), T + HOUR, MAX_COUNTED)


@pytest.mark.parametrize(
    ("overlap", "catch_up", "made"),
    [("skip", "one", 0), ("skip", "all", 0), ("queue", "one", 1), ("queue", "all", 6), ("cancel", "all", 1)],
)
def test_while_the_last_task_has_not_ended(overlap: Any, catch_up: Any, made: int) -> None:
    done = turn(schedule(T, overlap=overlap, catch_up=catch_up), T + 5 * MINUTE, True)
    assert len(done.fires) == made
    assert done.next_at == T + 6 * MINUTE


def test_a_clock_that_steps_back_leaves_the_next_fire_where_it_is() -> None:
    """The fire of T was made; two hours earlier nothing is due before T + 1 minute."""
    done = turn(schedule(T), T, False)
    assert done.next_at == T + MINUTE > T - 2 * HOUR
