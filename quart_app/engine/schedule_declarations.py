"""`@schedule("0 * * * *")`: makes tasks of a kind at the times of a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeVar

from quart_app.core import codec
from quart_app.core.errors import ConfigError, InvalidArgs, InvalidInput
from quart_app.core.schedule import (
    MAX_ARGS,
    MAX_EVERY,
    MIN_EVERY,
    NAME_PATTERN,
    CatchUp,
    Overlap,
    Plan,
    Schedule,
    first_fire,
)
from quart_app.engine.kind import TaskKind

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(NAME_PATTERN)


def schedule(
    cron: str | None = None,
    *,
    every: float | None = None,
    timezone: str = "UTC",
    name: str | None = None,
    args: Mapping[str, Any] | None = None,
    overlap: Overlap = "skip",
    catch_up: CatchUp = "one",
) -> Callable[[TaskKind[P, R]], TaskKind[P, R]]:
    """Declare a schedule; write it above `@task`. Give either `cron`, five fields or a name such as `@daily`, in the
    time zone; or `every`, in seconds.

    `name` defaults to the kind's name; a second schedule of a kind needs one of its own. `overlap` is what happens
    while the task of the last fire has not ended: `skip` the fire, `queue` the task, or `cancel` the last task.
    `catch_up` is what happens to missed fires: `skip` them, make `one` for all of them, or make `all`. Raises
    ConfigError.
    """

    def declare(kind: TaskKind[P, R]) -> TaskKind[P, R]:
        if not isinstance(kind, TaskKind):
            raise ConfigError("@schedule stands above @task, not below it")
        where = f"@schedule of {kind.name!r}"
        for what, value in {"cron": cron, "timezone": timezone or 0, "name": name}.items():
            if not isinstance(value, str | None):
                raise ConfigError(f"{where}: {what} must be a text")
        if not isinstance(args, Mapping | None):
            raise ConfigError(f"{where}: args must be a mapping")
        plan = Plan(cron, _every_ms(where, every), timezone)
        try:
            first_fire(plan, 0)
            kind.parse(codec.loads(text := codec.encode(dict(args or {}))))
        except (InvalidArgs, InvalidInput, codec.NotJson) as error:
            raise ConfigError(f"{where}: {error}") from None
        problems = {
            f"the name must match {NAME_PATTERN}": not _NAME.fullmatch(name or kind.name),
            "overlap must be skip, queue or cancel": overlap not in ("skip", "queue", "cancel"),
            "catch_up must be skip, one or all": catch_up not in ("skip", "one", "all"),
            f"its args are limited to {MAX_ARGS} bytes of JSON": len(text.encode()) > MAX_ARGS,
        }
        for problem, wrong in problems.items():
            if wrong:
                raise ConfigError(f"{where}: {problem}")
        kind.schedules.append(
            Schedule(
                name=name or kind.name,
                source="code",
                kind=kind.name,
                args=text,
                cron=cron,
                every_ms=plan.every_ms,
                timezone=timezone,
                overlap=overlap,
                catch_up=catch_up,
            )
        )
        return kind

    return declare


def _every_ms(where: str, every: float | None) -> int | None:
    if every is None:
        return None
    if not isinstance(every, int | float) or isinstance(every, bool) or not MIN_EVERY <= every <= MAX_EVERY:
        raise ConfigError(f"{where}: every must be a number of seconds from {MIN_EVERY:g} to {MAX_EVERY:g}")
    return round(every * 1000)
