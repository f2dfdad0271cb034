"""The options of @task: their defaults and allowed values. A wrong value is refused when the module is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from quart_app.core.errors import ConfigError
from quart_app.core.retry import Backoff, Errors
from quart_app.core.task import DEFAULT_QUEUE, KIND_PATTERN
from quart_app.core.unique import POLICIES, Unique
from quart_app.engine.processes.memory import MIN_MEMORY

RECYCLE: Final = 100
_KIND: Final = re.compile(KIND_PATTERN)
_QUEUE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST: Final = 10**9  # seconds, as over HTTP: about 30 years


class KindOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of a kind; times in seconds."""

    max_attempts: int = 1
    backoff: Backoff = Backoff()
    retry_on: Errors | None = None
    no_retry_on: Errors = ()
    timeout: float = 3600.0
    expires: float | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    retention: float | None = None
    memory: int | None = None
    """Bytes that a child process may have."""
    scope: Literal["write", "admin"] = "write"
    """The scope that the owner's key needs."""
    unique: Unique | None = None
    recycle: int = RECYCLE
    """Attempts that a child process serves."""


def unique_of(kind: str, given: object, on_duplicate: object, debounce: object) -> Unique | None:
    """What `@task(unique=…, on_duplicate=…, debounce=…)` declares. Raises ConfigError."""
    if given is False:
        if on_duplicate is not None or debounce is not None:
            raise ConfigError(f"@task({kind!r}): on_duplicate and debounce need unique=")
        return None
    names = given if isinstance(given, tuple) else ()
    if given is not True and not (names and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"@task({kind!r}): unique is True, or a tuple of names of args such as ('user',)")
    policy = "return" if on_duplicate is None else on_duplicate
    if policy not in POLICIES:
        raise ConfigError(f"@task({kind!r}): on_duplicate is one of {', '.join(POLICIES)}")
    if (policy == "debounce") != (debounce is not None):
        raise ConfigError(f"@task({kind!r}): debounce (seconds) and on_duplicate='debounce' need each other")
    if debounce is not None and not is_seconds(debounce, 0.001):
        raise ConfigError(f"@task({kind!r}): debounce must be seconds, from 0.001 to {_LONGEST}")
    return msgspec.convert({"args": names or None, "on_duplicate": policy, "debounce": debounce}, Unique)


def check_unique(kind: str, unique: Unique | None, parameters: Sequence[tuple[str, str]]) -> None:
    """Raises ConfigError for the name of an arg that the function does not have. `parameters`: (name, field) pairs."""
    known = [name for name, _ in parameters]
    for name in (unique.args if unique is not None else None) or ():
        if name not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"@task({kind!r}): unique names {name!r}, which is no argument of the function; {there}")


def as_tuple(errors: type[BaseException] | Errors) -> Errors:
    return errors if isinstance(errors, tuple) else (errors,)


def backoff_of(kind: str, given: tuple[float, float, float]) -> Backoff:
    try:
        if any(type(number) not in (int, float) for number in given):
            raise TypeError
        first, factor, cap = (float(number) for number in given)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"@task({kind!r}): backoff must be three numbers: first, factor, cap") from None
    return Backoff(first, factor, cap)


def check_options(kind: str, options: KindOptions) -> None:
    """Raises ConfigError, which names the kind and what is wrong."""
    backoff = options.backoff
    problems = {
        "retry_on and no_retry_on take exception classes": not all(
            isinstance(one, type) and issubclass(one, BaseException)
            for one in ((options.retry_on or ()) + options.no_retry_on)
        ),
        "backoff must be (first, factor, cap): seconds not negative, the factor at least 1": not (
            0 <= backoff.first <= 10**9 and 1 <= backoff.factor <= 10**9 and 0 <= backoff.cap <= 10**9
        ),
        f"kind must match {KIND_PATTERN}": _KIND.fullmatch(kind) is None,
        "queue must match [a-z0-9][a-z0-9._-]{0,63}": not (
            isinstance(options.queue, str) and _QUEUE.fullmatch(options.queue)
        ),
        "max_attempts must be a whole number from 1 to 1000000": not _whole(options.max_attempts, 1, 1_000_000),
        f"timeout must be seconds, from 0.001 to {_LONGEST}": not is_seconds(options.timeout, 0.001),
        "priority must be a whole number from -100 to 100": not _whole(options.priority, -100, 100),
        f"expires must be seconds, from 0.001 to {_LONGEST}": not (
            options.expires is None or is_seconds(options.expires, 0.001)
        ),
        f"retention must be seconds, from 0 to {_LONGEST}": not (
            options.retention is None or is_seconds(options.retention, 0)
        ),
        f"memory is a size such as '512MB' or '2GB', at least {MIN_MEMORY >> 20}MB": options.memory == 0,
        "scope is 'write' or 'admin'": options.scope not in ("write", "admin"),
        "recycle must be a whole number from 1 to 1000000": not _whole(options.recycle, 1, 1_000_000),
    }
    for problem, wrong in problems.items():
        if wrong:
            raise ConfigError(f"@task({kind!r}): {problem}")


def _whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most  # True is an int, too


def is_seconds(value: object, least: float) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and least <= value <= _LONGEST  # NaN is neither
