"""Waiting for the end of tasks, over restarts of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from quart_app.client.calls import Service
from quart_app.client.following import Follower
from quart_app.client.frames import Frame
from quart_app.client.requests import id_of, path_of
from quart_app.client.steps import GRACE, SLOW, Patience, Pause, Send, Steps, Tell, ask
from quart_app.client.task import Task, function_of, task_of
from quart_app.core.task import TERMINAL

LONGEST_WAIT: Final = 30.0  # seconds for which one request asks the server to wait: proxies allow that much
STOPPING: Final = 0.5  # seconds before a server is asked again that has answered too early, which it does when it stops


class _Told(msgspec.Struct):
    """What matters of an event here."""

    task_id: str
    status: str


_TOLD: Final = msgspec.json.Decoder(_Told)


def wait(
    service: Service, task: str | Task[Any], timeout: float | None, progress: Callable[[Task[Any]], Any] | None
) -> Steps[Task[Any]]:
    """The task when it has ended. `progress` is told of each change that is seen. Raises TimeoutError."""
    path, function = path_of(task), function_of(task)
    late = f"task {id_of(task)} has not ended after {timeout:g} s" if timeout is not None else ""
    patience = service.patience(None if timeout is None else time.monotonic() + timeout, late)
    known = ""
    while True:
        # Who wants to be told of changes first looks how the task is.
        wait = 0.0 if progress is not None and not known else _longest(patience)
        began = time.monotonic()
        answer = yield from ask(_poll(path, wait, known, patience), patience)
        early = time.monotonic() - began < wait * 0.9
        if answer.status != 304:
            found = task_of(answer.json(), function)
            if progress is not None:
                yield Tell(progress, found)
                known = answer.headers.get("etag", "")
            if found.ended:
                return found
        patience.check()
        if early and (progress is None or answer.status == 304):
            yield Pause(min(STOPPING, _longest(patience)))


def _longest(patience: Patience) -> float:
    return LONGEST_WAIT if patience.left is None else min(LONGEST_WAIT, patience.left)


def _poll(path: str, wait: float, known: str, patience: Patience) -> Send:
    query = (("wait", f"{wait:.3f}"),) if wait else ()
    room = SLOW if patience.left is None or patience.left > wait + SLOW else GRACE
    return Send("GET", path, query, {"If-None-Match": known} if known else {}, timeout=wait + room)


def wait_many(service: Service, tasks: Iterable[str | Task[Any]], timeout: float | None) -> Steps[list[Task[Any]]]:
    """The tasks in their order when all have ended. Raises TimeoutError, NotFound."""
    asked = list(tasks)
    waiting = {id_of(task): task for task in asked}
    ended: dict[str, Task[Any]] = {}
    patience = service.patience(None if timeout is None else time.monotonic() + timeout)
    if timeout is not None:
        patience.late = f"some of {len(waiting)} tasks have not ended after {timeout:g} s"
    # One stream tells of the ends. It is read from before the first look at the tasks, so that it misses none.
    follower = Follower(service, "/events", patience)
    if waiting:
        yield from follower.to_now()
        kinds = yield from _look(list(waiting.values()), waiting, ended, patience)
        if len(kinds) == 1:
            follower.query = (("kind", kinds.pop()),)
    while waiting:
        frames = yield from follower.read()
        told = [waiting[one] for one in _ends(frames or []) if one in waiting]
        if follower.broke:  # a task may have been deleted meanwhile, with its events
            follower.broke = False
            told = list(waiting.values())
        yield from _look(told, waiting, ended, patience)
    return [ended[id_of(task)] for task in asked]


def _look(
    tasks: Iterable[str | Task[Any]],
    waiting: dict[str, str | Task[Any]],
    ended: dict[str, Task[Any]],
    patience: Patience,
) -> Steps[set[str]]:
    """Read the tasks, and move those that have ended from `waiting` to `ended`. The kinds of the others."""
    kinds = set()
    for task in tasks:
        answer = yield from ask(_poll(path_of(task), 0, "", patience), patience)
        found = task_of(answer.json(), function_of(task))
        if found.ended:
            ended[found.task_id] = found
            del waiting[found.task_id]
        else:
            kinds.add(found.kind)
    return kinds


def _ends(frames: Iterable[Frame]) -> list[str]:
    """The tasks whose end these events tell of."""
    told = [_TOLD.decode(frame.data) for frame in frames if frame.event == "status"]
    return list(dict.fromkeys(one.task_id for one in told if one.status in TERMINAL))
