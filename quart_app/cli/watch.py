"""`tasks watch`: a task from its first event to its end, over restarts of the server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from quart_app.cli import show
from quart_app.cli.errors import Held, NoAnswer, Refused
from quart_app.cli.events import events
from quart_app.cli.reach import Api, over_socket, over_url, reach, task_path
from quart_app.logs import escape
from quart_app.settings import Settings

OUTCOMES: Final = {"completed": 0, "failed": 1, "cancelled": 2}
UNKNOWN: Final = 3
AGAIN: Final = 0.3  # seconds between two looks for a server that went away


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """The exit code by the task's end. Raises CommandError, StartupError."""
    view: _View = _Json() if arguments.json else _Bar() if sys.stdout.isatty() else _Lines()
    try:
        with view:
            return await _follow(_Watch(arguments.id, view), arguments, settings)
    except Refused as error:
        if error.status != 404:
            raise
        sys.stderr.write(f"quart_app: {error}\n")
        return UNKNOWN


async def _follow(watch: _Watch, arguments: argparse.Namespace, settings: Settings) -> int:
    async with reach(settings, arguments.url, arguments.key) as api:
        code = await watch.to_end(api)
    while code is None:
        await asyncio.sleep(AGAIN)
        async with _again(arguments, settings) as found:
            if found is not None:
                code = await watch.to_end(found)
    return code


@contextlib.asynccontextmanager
async def _again(arguments: argparse.Namespace, settings: Settings) -> AsyncIterator[Api | None]:
    """Only a server: this process must not take the database while one starts."""
    if arguments.url is not None:
        async with over_url(arguments.url, arguments.key or settings.key) as api:
            yield api
    else:
        async with over_socket(settings) as found:
            yield found


class _Watch:
    def __init__(self, task_id: str, view: _View) -> None:
        self._path = task_path(task_id)
        self._view = view
        self._after = 0
        self._begun = False
        self._lost = False

    async def to_end(self, api: Api) -> int | None:
        """The exit code, or None when the server went away (or none runs) before the end. Raises Refused; and
        NoAnswer or Held when there never was an answer."""
        try:
            return await self._show(api)
        except (NoAnswer, Held):
            if not self._begun:
                raise
        except Refused as error:
            if error.status != 503:  # it starts, or it stops
                raise
        self._say("the server does not answer; waiting for it")
        return None

    async def _show(self, api: Api) -> int | None:
        while True:
            task = (await api.call("GET", self._path)).json()
            if self._lost:
                self._lost = False
                sys.stderr.write("quart_app: connected again\n")
            self._begun = True
            self._view.task(task)
            before = self._after
            async for event in events(api, self._path, self._after):
                self._after = event["seq"]
                self._view.event(event)
            if api.offline and task["status"] not in OUTCOMES:
                self._say("no server runs; waiting for one")
                return None
            if task["status"] in OUTCOMES and before == self._after:
                self._view.end(task)
                return OUTCOMES[task["status"]]

    def _say(self, line: str) -> None:
        if not self._lost:
            self._lost = True
            sys.stderr.write(f"quart_app: {line}\n")


class _View:
    """What a person sees of it; by itself nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def task(self, task: Mapping[str, Any]) -> None:
        """The task as it is, at the beginning and after each piece of the stream."""

    def event(self, event: Mapping[str, Any]) -> None:
        """One event of its stream."""

    def end(self, task: Mapping[str, Any]) -> None:
        """The task once it has ended."""


class _Json(_View):
    """One event a line, as the API sends them."""

    def event(self, event: Mapping[str, Any]) -> None:
        print(json.dumps(event, ensure_ascii=False, separators=(",", ":")), flush=True)


class _Lines(_View):
    def event(self, event: Mapping[str, Any]) -> None:
        print(line(event), flush=True)

    def end(self, task: Mapping[str, Any]) -> None:
        print(show.outcome(task), flush=True)


class _Bar(_View):
    """Steps, log lines and statuses roll by above a bar that shows the progress."""

    def __enter__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=Console(highlight=False), transient=True)
        self._bar = self._progress.add_task("", total=None)
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def task(self, task: Mapping[str, Any]) -> None:
        self._update(task["status"], task["progress"])

    def event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            self._update(event["status"], event["data"])
        else:
            self._progress.console.print(line(event), markup=False)

    def _update(self, status: str, progress: Mapping[str, Any] | None) -> None:
        progress = progress or {}
        text = escape(progress.get("message") or status)
        self._progress.update(
            self._bar, description=text, completed=progress.get("done") or 0, total=progress.get("total")
        )

    def end(self, task: Mapping[str, Any]) -> None:
        self._progress.console.print(show.outcome(task), markup=False, style=show.COLOURS.get(task["status"]))


def line(event: Mapping[str, Any]) -> str:
    """`12:30:01 step      soup`."""
    data = event["data"]
    match event["event"]:
        case "status":
            text = f"{event['status']} ({event['cause']}, attempt {event['attempt']})"
        case "progress":
            text = show.progress(data)
        case "step":
            text = str(data.get("name"))
        case _:
            fields = "".join(f" {name}={value!r}" for name, value in (data.get("fields") or {}).items())
            text = f"{data.get('message')}{fields}"
    return f"{event['at'][11:19]} {event['event']:<9} {escape(text)}"
