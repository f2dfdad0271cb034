"""What a test has told the kit: outputs of steps, signals, crashes; and what of it was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

_CRASH: Final = re.compile(r"(?:(before|in|after) step (.{1,200})|(before) end)", re.DOTALL)
MOST_SHOWN: Final = 20

When = Literal["before", "in", "after"]


class Given(msgspec.Struct):
    """What one task gets in place of its steps, and for its waits. `asked`, `sent`: what it has asked for so far."""

    steps: Mapping[str, Any] = {}
    signals: Mapping[str, Any] = {}
    asked: list[str] = []
    sent: list[str] = []


class Crash(msgspec.Struct):
    """`step` None: at the end of an attempt. `kind` None: of any kind."""

    text: str
    when: When
    step: str | None
    kind: str | None
    happened: bool = False

    def __str__(self) -> str:
        return self.text if self.kind is None else f"{self.text} of {self.kind}"


class Script:
    """It outlives the crashes of the service."""

    def __init__(self) -> None:
        self.given: dict[str, Given] = {}
        """By the id of the task."""
        self._crashes: list[Crash] = []
        self._steps: dict[str, None] = {}  # `kind: step` of all steps that were asked for, in their order

    def add_crash(self, text: str, kind: str | None) -> None:
        """Raises ValueError for what is no such place."""
        found = _CRASH.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(
                'a crash is "before step NAME", "in step NAME" (after its effect, before its record), "after step NAME"'
                f' or "before end", not {text!r:.100}'
            )
        when: Any = found[1] or found[3]
        self._crashes.append(Crash(text, when, found[2], kind))

    def asks(self, task_id: str, kind: str, step: str) -> None:
        """A handler asks for a step that is not on record."""
        self._steps.setdefault(f"{kind}: {step}")
        if (given := self.given.get(task_id)) is not None and step not in given.asked:
            given.asked.append(step)

    def crashes(self, when: When, step: str | None, kind: str) -> bool:
        """Whether the service is to crash here; each crash happens once."""
        for crash in self._crashes:
            if not crash.happened and (crash.when, crash.step) == (when, step) and crash.kind in (None, kind):
                crash.happened = True
                return True
        return False

    def unfinished(self) -> str:
        """What was told and never happened, as one text; empty: all has happened."""
        missing = [str(crash) for crash in self._crashes if not crash.happened]
        if not missing:
            return ""
        names = list(self._steps)
        asked = f"the steps that ran were {listed(names)}" if names else "no step ran"
        return f"a crash never came: {', '.join(missing)}; {asked}"


def listed(names: list[str]) -> str:
    """Some names for people; `none` when there are none."""
    shown = ", ".join(names[:MOST_SHOWN]) or "none"
    return shown if len(names) <= MOST_SHOWN else f"{shown} and {len(names) - MOST_SHOWN} more"
