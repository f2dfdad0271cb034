"""When a schedule fires: cron or a period, time zones, missed fires, overlap. Pure; times are ms UTC.

cronsim does the cron arithmetic, like Debian's cron. A fixed local time that the clock of the time zone skips fires
once, at the next minute that exists. A time that the clock repeats fires once, at its first pass. A pattern that begins
with a star in its minutes or hours follows the real hours instead.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterator
from itertools import chain, islice, takewhile
from typing import Final, Literal

import msgspec
from cronsim import CronSim, CronSimError

from quart_app.core.errors import InvalidArgs, InvalidInput

Overlap = Literal["skip", "queue", "cancel"]
CatchUp = Literal["skip", "one", "all"]

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
TAG: Final = "schedule:"  # before the name: the tag of every task that a schedule makes
MAX_OWNED: Final = 100  # schedules of one owner
MAX_ARGS: Final = 16_384  # bytes: the row is rewritten at each fire, and listings have it
MIN_EVERY: Final = 1.0  # seconds
MAX_EVERY: Final = 10 * 366 * 86400.0
GRACE: Final = 10_000  # ms; a fire that is late by less is not missed
MAX_FIRES: Final = 20  # of one schedule in one turn
MAX_COUNTED: Final = 2_000  # missed fires; walking them takes up to 25 ms
FIRES_KEPT: Final = 86_400_000  # ms that a fire is on record: more than any step of a clock

_CRON: Final = re.compile(r"[0-9A-Za-z*/,#-]{1,255}( [0-9A-Za-z*/,#-]{1,255}){4}")
_MAX_CRON: Final = 256
# The names of crontab(5), without `@reboot`, which is no time.
_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ZONE: Final = re.compile(r"(?!posix/|right/|localtime\Z|posixrules\Z|Factory\Z)[A-Za-z][A-Za-z0-9_+/-]{0,63}")


class Plan(msgspec.Struct, frozen=True):
    """`cron` with five fields in the time zone, or `every_ms`; exactly one of them."""

    cron: str | None
    every_ms: int | None
    timezone: str = "UTC"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is stored; the field order is that of the statement `schedule_columns`. `args` is JSON text.
    `next_at` None: it is paused, or will never fire again. `revision` rises with every change of the definition. A name
    is unique for its owner."""

    name: str
    owner: str = ""
    source: Literal["code", "api"] = "api"
    kind: str
    args: str = "{}"
    cron: str | None = None
    every_ms: int | None = None
    timezone: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "one"
    paused: bool = False
    revision: int = 1
    created_at: int = 0
    next_at: int | None = None
    last_fire_at: int | None = None
    last_task_id: str | None = None
    last_error: str | None = None

    @property
    def key(self) -> str:
        """Its unique key over all owners."""
        return key_of(self.name, self.owner)

    @property
    def plan(self) -> Plan:
        return Plan(self.cron, self.every_ms, self.timezone)


def key_of(name: str, owner: str) -> str:
    """The key of a schedule. Names and owners have no slash."""
    return f"{owner}/{name}" if owner else name


class Turn(msgspec.Struct, frozen=True):
    """The decision for a due schedule: `fires` are the times to make a task for, oldest first; `next_at` is when it is
    due again; `due` is how many fires were due (MAX_COUNTED: that many or more)."""

    fires: tuple[int, ...]
    next_at: int | None
    due: int


def first_fire(plan: Plan, now: int) -> int:
    """When a new plan fires first. Raises InvalidInput, InvalidArgs for an invalid plan, for a time zone that is not in
    the IANA database, and for a plan that never fires."""
    if (plan.cron is None) == (plan.every_ms is None):
        raise InvalidArgs([("", "give cron or every, and not both")])
    if not _is_zone(plan.timezone):
        raise InvalidInput("timezone must be a name of the IANA database, as in Europe/Paris", "/timezone")
    if plan.cron is not None and not _is_cron(plan.cron):
        detail = (
            f"cron must be five fields of at most {_MAX_CRON} characters (minute hour day month weekday), "
            f"or one of {' '.join(_NAMED)}"
        )
        raise InvalidInput(detail, "/cron")
    try:
        found = next_fire(plan, now)
    except CronSimError as error:
        raise InvalidInput(f"cron cannot be read: {error}", "/cron") from None
    if found is None:
        raise InvalidInput("cron names no time of the next fifty years", "/cron")
    return found


def next_fire(plan: Plan, after: int) -> int | None:
    """The first fire after a time; for a period, `after` is the last fire."""
    return next(_fires(plan, after), None)


def replanned(schedule: Schedule, now: int) -> int | None:
    """Its `next_at`, or an earlier time if it was planned by a clock that was ahead of `now`. The result is never later
    than the plan's next time, or a whole period from `now`."""
    if schedule.next_at is None or schedule.next_at <= now:
        return schedule.next_at
    if schedule.every_ms is not None:
        return min(schedule.next_at, now + schedule.every_ms)
    following = next_fire(schedule.plan, now)
    return schedule.next_at if following is None else min(schedule.next_at, following)


def turn(schedule: Schedule, now: int, busy: bool) -> Turn:
    """Decide for a schedule whose `next_at` has come. `busy`: the task of its last fire has not ended.

    With overlap `queue`, `all` makes every missed fire, MAX_FIRES at a time. With another overlap, one task would only
    replace the other, so `all` does the same as `one`: only the latest of the due fires is made.
    """
    plan, first = schedule.plan, schedule.next_at
    assert first is not None
    if schedule.catch_up == "all" and schedule.overlap == "queue":
        fires = tuple(_due(plan, first, now, MAX_FIRES))
        return Turn(fires, next_fire(plan, fires[-1]), len(fires))
    latest, count = _latest(plan, first, now)
    missed = schedule.catch_up == "skip" and latest < now - GRACE
    if missed or (busy and schedule.overlap == "skip"):
        return Turn((), _following(plan, latest, now), count)
    return Turn((latest,), _following(plan, latest, now), count)


def _latest(plan: Plan, first: int, now: int) -> tuple[int, int]:
    """The latest due fire, and how many are due."""
    if plan.every_ms is not None:
        count = (now - first) // plan.every_ms + 1
        return first + (count - 1) * plan.every_ms, count
    due = list(_due(plan, first, now, MAX_COUNTED))
    if len(due) == MAX_COUNTED:
        recent = next_fire(plan, now - GRACE - 1)
        if recent is not None and recent <= now:
            return recent, MAX_COUNTED
    return due[-1], len(due)


def _following(plan: Plan, latest: int, now: int) -> int | None:
    # A cron plan has no fire between its latest one and now, except when counting ended early.
    return next_fire(plan, latest if plan.every_ms is not None else now)


def _due(plan: Plan, first: int, now: int, limit: int) -> Iterator[int]:
    return islice(takewhile(lambda at: at <= now, chain([first], _fires(plan, first))), limit)


def _fires(plan: Plan, after: int) -> Iterator[int]:
    """All fires after a time, in order. Raises CronSimError."""
    if plan.every_ms is not None:
        while True:
            after += plan.every_ms
            yield after
    assert plan.cron is not None
    zone = datetime.UTC if plan.timezone == "UTC" else zoneinfo.ZoneInfo(plan.timezone)
    for moment in CronSim(_NAMED.get(plan.cron, plan.cron), datetime.datetime.fromtimestamp(after // 1000, zone)):
        at = int(moment.timestamp()) * 1000
        # After a start in the second pass of a repeated hour, cronsim begins again with the first pass.
        if at > after:
            after = at
            yield at


def _is_cron(text: str) -> bool:
    return text in _NAMED or (len(text) <= _MAX_CRON and _CRON.fullmatch(text) is not None)


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a folder of that database
        return False
    return True
