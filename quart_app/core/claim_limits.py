"""Limits of tasks: how many run at once, and how many start in a window. `Limit` is what users declare."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from quart_app.core.errors import ConfigError

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._:-]{0,119}"  # of every limit: also kind:<kind>, queue:<queue>
MOST: Final = 4  # limits of one kind
OF_QUEUE: Final = "queue:"  # begins the name of a queue's limit
MAX_CONCURRENCY: Final = 1_000_000
MAX_RATE: Final = 100_000
MAX_WINDOW: Final = 9_999_999  # seconds, more than a hundred days
_SECONDS: Final = r"([1-9][0-9]{0,6}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))"
RATE_PATTERN: Final = rf"^(100000|[1-9][0-9]{{0,4}})/{_SECONDS}$"  # no other rate is accepted
_RATE: Final = re.compile(RATE_PATTERN)


class Rate(msgspec.Struct, frozen=True):
    """At most `starts` in any window of `window_ms`."""

    starts: int
    window_ms: int

    def __str__(self) -> str:
        return f"{self.starts}/{f'{self.window_ms / 1000:.3f}'.rstrip('0').rstrip('.')}"


def rate(text: object) -> Rate:
    """Read a rate such as `100/60`: starts, a slash, seconds. Raises ValueError, which says what is wrong."""
    if not isinstance(text, str) or _RATE.fullmatch(text) is None:
        raise ValueError(
            f"a rate is 'STARTS/SECONDS', as in '100/60': at most {MAX_RATE} starts, in 0.001 to {MAX_WINDOW} seconds"
        )
    starts, _, seconds = text.partition("/")
    return Rate(int(starts), round(float(seconds) * 1000))


class Limit(msgspec.Struct, frozen=True):
    """A limit that kinds share: `Limit("openai", rate="100/60", concurrency=5, key="customer")`.

    `rate`: starts in any window of so many seconds; `concurrency`: tasks that run at once; both over all owners. `key`:
    the name of an arg; each of its values has a limit of its own. Raises ConfigError."""

    name: str
    rate: str | None = None
    concurrency: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or NAME.fullmatch(self.name) is None:
            raise ConfigError(f"Limit({self.name!r}): a name must match {NAME.pattern}")
        check(f"Limit({self.name!r})", self.rate, self.concurrency)
        if self.rate is None and self.concurrency is None:
            raise ConfigError(f"Limit({self.name!r}) needs rate, concurrency or both")

    def definition(self) -> LimitDefinition:
        return LimitDefinition(self.name, self.concurrency, None if self.rate is None else rate(self.rate))


class LimitDefinition(msgspec.Struct, frozen=True):
    """What a limit allows."""

    name: str
    concurrency: int | None = None
    rate: Rate | None = None


Off = Literal["off"]


class LimitOverride(msgspec.Struct, frozen=True):
    """What an operator has set. None: nothing."""

    concurrency: int | Off | None = None
    rate: Rate | Off | None = None


class LimitUse(msgspec.Struct, frozen=True):
    """A limit and how it is used. `declared`: by the code; `running`, `started`: tasks, over all keys, now and in the
    window; `waiting`: tasks that it holds back; `held_keys`: values of its key that hold some back."""

    name: str
    concurrency: int | None
    rate: Rate | None
    declared: LimitDefinition
    override: LimitOverride
    running: int
    started: int
    waiting: int
    held_keys: int


class QueueUse(msgspec.Struct, frozen=True):
    """A queue as it is. `waiting`: tasks that are due; `ready`: those of them that could start now if there were slots,
    as the last claim saw it; `delayed`: not due, or asleep, or waiting for something else; `processing`: running.
    `oldest_at`: when the one that waits for longest became due (ms UTC; None: none waits)."""

    name: str
    paused: bool
    waiting: int
    ready: int
    delayed: int
    processing: int
    oldest_at: int | None
    concurrency: int | None
    rate: Rate | None

    @property
    def slots_wanted(self) -> int:
        """Slots that its tasks would take now, those that run included."""
        return self.processing + self.ready


def room_of(concurrency: int | None, running: int, rate: Rate | None, started: int) -> int | None:
    """How many more tasks a limit lets start now; None: any number."""
    rooms = [] if concurrency is None else [concurrency - running]
    rooms += [] if rate is None else [rate.starts - started]
    return max(min(rooms), 0) if rooms else None


def check(what: str, rate_text: object, concurrency: object) -> None:
    """Raises ConfigError, which begins with `what`."""
    if rate_text is not None:
        try:
            rate(rate_text)
        except ValueError as error:
            raise ConfigError(f"{what}: {error}") from None
    if concurrency is not None and (type(concurrency) is not int or not 1 <= concurrency <= MAX_CONCURRENCY):
        raise ConfigError(f"{what}: concurrency must be a whole number from 1 to {MAX_CONCURRENCY}")
