"""A plan in words: `0 3 * * 1` is `at 03:00 on Monday`. Pure. What has no simple words stays as it is written."""

from __future__ import annotations

import re
from typing import Final

from quart_app.core.schedule import Plan
from quart_app.dashboard import texts

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("", "January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NAMED: Final = {
    "@hourly": "every hour",
    "@daily": "every day at 00:00",
    "@midnight": "every day at 00:00",
    "@weekly": "on Sunday at 00:00",
    "@monthly": "on the 1st of every month at 00:00",
    "@yearly": "on 1 January at 00:00",
    "@annually": "on 1 January at 00:00",
}


def in_words(plan: Plan) -> str | None:
    """None: there are no simple words for it."""
    if plan.every_ms is not None:
        return f"every {texts.duration(plan.every_ms)}"
    cron = plan.cron or ""
    if cron in _NAMED:
        return _NAMED[cron]
    minute, hour, day, month, weekday = cron.split(" ")
    clock = _clock(minute, hour)
    days = _days(day, month, weekday)
    if clock is None or days is None:
        return None
    if clock.startswith("every"):
        return clock if days == "every day" else f"{clock}, {days}"
    return f"{days} at {clock}"


def _clock(minute: str, hour: str) -> str | None:
    if hour == "*":
        if minute == "*":
            return "every minute"
        if step := re.fullmatch(r"\*/([0-9]{1,2})", minute):
            return f"every {step[1]} minutes"
        if minute == "0":
            return "every hour"
        return f"every hour, at minute {int(minute)}" if minute.isdigit() else None
    if minute.isdigit() and hour.isdigit():
        return f"{int(hour):02}:{int(minute):02}"
    if minute == "0" and (step := re.fullmatch(r"\*/([0-9]{1,2})", hour)):
        return f"every {step[1]} hours"
    return None


def _days(day: str, month: str, weekday: str) -> str | None:
    if (day, month, weekday) == ("*", "*", "*"):
        return "every day"
    if (day, month) == ("*", "*"):
        if weekday in ("1-5", "MON-FRI", "mon-fri"):
            return "on working days"
        return f"on {_DAYS[int(weekday)]}" if re.fullmatch(r"[0-7]", weekday) else None
    if weekday == "*" and day.isdigit():
        if month == "*":
            return f"on day {int(day)} of every month"
        if month.isdigit() and 1 <= int(month) <= 12:
            return f"on {int(day)} {_MONTHS[int(month)]}"
    return None
