"""Where a handler is: the frames of its coroutine down to what it really waits for, or of its thread.

`Task.get_stack` of asyncio knows only the outermost coroutine. The chain goes on through what each coroutine awaits:
other coroutines, tasks, `gather`, `wait_for`, task groups, and the threads of `def` handlers and of steps.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import linecache
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, NamedTuple

from quart_app.core import codec

MAX_FRAMES: Final = 100  # the innermost ones are shown
DEEPEST: Final = 10_000  # frames that are followed: a chain may lead in a circle
MAX_TEXT: Final = 300  # characters of a file, a function, a line

_ENGINE: Final = str(Path(__file__).parent) + os.sep
_ASYNCIO: Final = str(Path(asyncio.__file__).parent) + os.sep
_FUTURES: Final = str(Path(concurrent.futures.__file__).parent) + os.sep
_OUTSIDE: Final = (_ENGINE, threading.__file__, "<frozen runpy>")  # what calls a handler


class Place(NamedTuple):
    """A line that runs or waits, as the interpreter knows it."""

    path: str
    line: int
    function: str


class Frame(NamedTuple):
    """A place for people: the file without the folders that say nothing, and the text of the line."""

    file: str
    line: int
    function: str
    code: str


def of_task(task: asyncio.Task[Any]) -> list[Place]:
    """The handler of a task that waits, outermost first. To be called on its loop."""
    return from_handler(_chain(task))


def of_frame(frame: FrameType | None) -> list[Place]:
    """The frames that are under way in one thread, outermost first."""
    places: list[Place] = []
    while frame is not None and len(places) < DEEPEST:
        places.append(_place(frame))
        frame = frame.f_back
    return places[::-1]


def from_handler(places: list[Place]) -> list[Place]:
    """Without the frames of the engine that called the handler."""
    start = 0
    while start < len(places) and places[start].path.startswith(_OUTSIDE):
        start += 1
    return places[start:]


def show(places: list[Place]) -> list[Frame]:
    """Read the lines from their files: in a thread, for it may take a while."""
    roots = sorted({os.path.abspath(path) + os.sep for path in ["", *sys.path]}, key=len, reverse=True)  # noqa: PTH100
    return [
        Frame(
            _text(_short(one.path, roots)),
            one.line,
            _text(one.function),
            _text(linecache.getline(one.path, one.line).strip()),
        )
        for one in places[-MAX_FRAMES:]
    ]


def as_documents(frames: list[Frame]) -> list[dict[str, Any]]:
    return [frame._asdict() for frame in frames]


def _short(path: str, roots: list[str]) -> str:
    """Relative to where modules are imported from, else the name alone."""
    root = next((root for root in roots if path.startswith(root)), None)
    if root is not None:
        return path[len(root) :]
    return path if path.startswith("<") else os.path.basename(path)  # noqa: PTH119


def _text(text: str) -> str:
    return codec.clean(text, MAX_TEXT)


def _place(frame: FrameType) -> Place:
    return Place(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname)


def _chain(awaited: Any) -> list[Place]:
    places: list[Place] = []
    frame: FrameType | None = None
    for _ in range(DEEPEST):
        match awaited:
            case None:
                break
            case CoroutineType():
                frame, awaited = awaited.cr_frame, awaited.cr_await
            case GeneratorType():
                frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
            case AsyncGeneratorType():
                frame, awaited = awaited.ag_frame, awaited.ag_await
            case _ if asyncio.isfuture(awaited):
                awaited = _behind(awaited, frame)
                frame = None
                continue
            case threading.Thread():
                frame = sys._current_frames().get(awaited.ident or 0)
                places += from_handler(of_frame(frame))
                awaited = _asked_of_the_loop(frame)
                continue
            case _:  # `asend` of an async generator, the iterator of a future: they hide what they wrap
                awaited = next(filter(_leads_on, gc.get_referents(awaited)), None)
                continue
        if frame is None:
            break
        places.append(_place(frame))
    return places


def _leads_on(value: object) -> bool:
    return isinstance(value, (CoroutineType, GeneratorType, AsyncGeneratorType)) or asyncio.isfuture(value)


def _behind(future: asyncio.Future[Any], frame: FrameType | None) -> Any:
    """What has to end before the future does. `frame`: the one that awaits it."""
    if isinstance(future, asyncio.Task):
        return future.get_coro() if not future.done() else None
    if isinstance(children := getattr(future, "_children", None), list):  # asyncio.gather
        return _first_open(children)
    if frame is None:
        return None
    if frame.f_code.co_name == "in_thread" and frame.f_code.co_filename.startswith(_ENGINE):
        return frame.f_locals.get("thread")
    if frame.f_code.co_filename.startswith(_ASYNCIO):
        names = frame.f_locals
        group = getattr(names.get("self"), "_tasks", ())
        one = names.get("fut")
        return _first_open([*([one] if one is not None else []), *(names.get("fs") or ()), *group])
    return None


def _first_open(futures: Iterable[Any]) -> Any:
    return next((one for one in futures if asyncio.isfuture(one) and not one.done()), None)


def _asked_of_the_loop(frame: FrameType | None) -> Any:
    """The coroutine that a thread waits for: its context's calls run on the loop."""
    while frame is not None and frame.f_code.co_filename.startswith((threading.__file__, _FUTURES)):
        frame = frame.f_back
    if frame is None or frame.f_code.co_name != "_wait" or not frame.f_code.co_filename.startswith(_ENGINE):
        return None
    return next((value for value in frame.f_locals.values() if inspect.iscoroutine(value)), None)
