"""Which tasks an assertion is about, and what is told when it does not hold."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quart_app.core import codec
from quart_app.testing.kit_task import KitTask
from quart_app.testing.script import MOST_SHOWN

MOST_ARGS: Final = 300  # characters of the args of one task


class Wanted(msgspec.Struct, frozen=True):
    """None means any. Of `args` and `tags` a part is enough."""

    kind: str | None = None
    args: Mapping[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None
    tags: Sequence[str] | None = None

    def matches(self, task: KitTask) -> bool:
        return (
            self.kind in (None, task.kind)
            and self.queue in (None, task.queue)
            and self.priority in (None, task.priority)
            and set(self.tags or ()) <= set(task.tags)
            and (self.args is None or is_part(_plain(self.args), task.args))
        )

    def __str__(self) -> str:
        parts = [f"of {self.kind}"] if self.kind is not None else []
        for name in ("args", "queue", "priority", "tags"):
            if (value := getattr(self, name)) is not None:
                parts.append(f"with {name} {codec.encode(value)}")
        return " ".join(parts)


def is_part(part: Any, whole: Any) -> bool:
    """Whether all of `part` is in `whole`: of objects some members are enough, at any depth; all else is equal."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_part(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_part, part, whole))
    return type(part) is type(whole) and bool(part == whole) if isinstance(part, bool) else bool(part == whole)


def _plain(args: Mapping[str, Any]) -> Any:
    """As the args of a task are kept: a tuple is a list, a date is a text."""
    return codec.loads(codec.encode(dict(args)))


def number_of(number: int, what: object) -> str:
    """`2 tasks of mail`."""
    return f"{number} task{'' if number == 1 else 's'} {what}".rstrip()


def what_is_there(tasks: Iterable[KitTask], now: datetime.datetime) -> str:
    """The tasks for people, those that wait first, each in a line."""
    found = sorted(tasks, key=lambda task: task.status != "pending")
    if not found:
        return "there are no tasks at all"
    lines = [_line(task, now) for task in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"… and {len(found) - MOST_SHOWN} more")
    return "there are:\n" + "\n".join(f"  {line}" for line in lines)


def _line(task: KitTask, now: datetime.datetime) -> str:
    args = codec.encode(task.args)
    parts = [f"{task.kind} {args[:MOST_ARGS]}{'…' if len(args) > MOST_ARGS else ''}"]
    if task.queue != "default":
        parts.append(f"queue {task.queue}")
    if task.priority:
        parts.append(f"priority {task.priority}")
    if task.tags:
        parts.append(f"tags {', '.join(task.tags)}")
    return ", ".join([*parts, _state(task, now)])


def _state(task: KitTask, now: datetime.datetime) -> str:
    state = task.status if task.error is None else f"{task.status} ({str(task.error)[:MOST_ARGS]})"
    if task.status != "pending":
        return state
    if task.waiting_for not in (None, "time"):
        return f"{state}, waiting for {task.waiting_for}"
    seconds = (task.run_at - now).total_seconds()
    return f"{state}, due in {seconds:g} s" if seconds > 0 else f"{state}, due"
