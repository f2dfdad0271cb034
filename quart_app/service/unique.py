"""The unique key of a task that is asked for, and what becomes of its duplicates."""

from __future__ import annotations

from typing import Any

import msgspec

from quart_app.core.errors import InvalidInput
from quart_app.core.task import NewTask
from quart_app.core.task_request import EnqueueOptions
from quart_app.core.unique import MAX_KEY, POLICIES, is_key, key_of
from quart_app.engine.kind import TaskKind
from quart_app.engine.kind_options import is_seconds


def with_unique_key(task: NewTask, kind: TaskKind[..., Any], options: EnqueueOptions, args: Any) -> NewTask:
    """The task with its unique key, when it has one. Raises InvalidInput."""
    unique = kind.options.unique
    if unique is None and options.unique_key is None:
        if options.on_duplicate is not None or options.debounce is not None:
            raise InvalidInput(
                f"on_duplicate and debounce are for a unique_key, and {kind.name} makes none of its args"
            )
        return task
    if options.unique_key is None:
        assert unique is not None
        values = kind.parse(args)
        key = key_of(values if unique.args is None else {name: values[name] for name in unique.args})
    elif not is_key(key := options.unique_key):
        raise InvalidInput(f"unique_key must be 1 to {MAX_KEY} characters without control characters")
    policy = options.on_duplicate or (unique.on_duplicate if unique is not None else "return")
    timed = options.delay is not None or options.run_at is not None
    if timed and options.on_duplicate is None and options.debounce is None and policy == "debounce":
        policy = "replace"  # the time of a request counts more than that of the kind
    if policy not in POLICIES:
        raise InvalidInput(f"on_duplicate must be one of {', '.join(POLICIES)}")
    if policy != "debounce":
        if options.debounce is not None:
            raise InvalidInput(f"debounce is for on_duplicate=debounce, here it is {policy}")
        return msgspec.structs.replace(task, unique_key=key, on_duplicate=policy)
    seconds = options.debounce if options.debounce is not None or unique is None else unique.debounce
    if seconds is None:
        raise InvalidInput("on_duplicate=debounce needs debounce, the seconds for which it waits")
    if not is_seconds(seconds, 0.001):
        raise InvalidInput("debounce must be seconds, at least 0.001")
    if timed:
        raise InvalidInput("debounce says when the task starts; give no delay and no run_at with it")
    wait = int(seconds * 1000)
    return msgspec.structs.replace(
        task, unique_key=key, on_duplicate=policy, debounce_ms=wait, delay_ms=wait, run_at=task.created_at + wait
    )
