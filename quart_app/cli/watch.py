"""`tasks watch`: follows a task from its first event to its end, also across restarts of the server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx

from quart_app.cli import tables
from quart_app.cli.connect import Api, over_socket, over_url, reach, task_path
from quart_app.cli.errors import Held, NoAnswer, Refused
from quart_app.cli.events import events
from quart_app.process.logs import escape
from quart_app.settings import Settings

OUTCOMES: Final = {"completed": 0, "failed": 1, "cancelled": 2}
UNKNOWN: Final = 3
AGAIN: Final = 0.3  # seconds between two attempts to reach a server that has stopped


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Follow the task; the exit code tells how it ended. Raises CommandError, StartupError."""
    view: _View = _Json() if arguments.json else _Bar() if sys.stdout.isatty() else _Lines()
    try:
        with view:
            return await _follow(_Watch(arguments.id, view), arguments, settings)
    except Refused as error:
        if error.status != 404:
            raise
        sys.stderr.write(f"quart_app: {error}\n")
        return UNKNOWN


async def ended(api: Api, task_id: str) -> tuple[httpx.Response, int]:
    """Wait for the end of a task. The answer that shows it, and the exit code. Raises CommandError."""
    while True:
        answer = await api.call("GET", task_path(task_id), wait=30, params={"wait": "30"})
        if (code := OUTCOMES.get(answer.json()["status"])) is not None:
            return answer, code


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
    """Yield the API of a running server, or None. The app is not opened in this process, because that would take the
    database from a server that starts."""
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
        """Follow the task. Returns the exit code, or None when the server stopped (or none runs) before the end.
        Raises Refused; and NoAnswer or Held when the server has never answered."""
        try:
            return await self._show(api)
        except (NoAnswer, Held):
            if not self._begun:
                raise
        except Refused as error:
            if error.status != 503:  # 503: the server starts or stops
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
    """How a task is shown. This base class shows nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def task(self, task: Mapping[str, Any]) -> None:
        """Show the task, at the beginning and after each part of the stream."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show one event of the stream."""

    def end(self, task: Mapping[str, Any]) -> None:
        """Show the task once it has ended."""


class _Json(_View):
    """Prints one event a line, as the API sends them."""

    def event(self, event: Mapping[str, Any]) -> None:
        print(tables.as_json(event), flush=True)


class _Lines(_View):
    def event(self, event: Mapping[str, Any]) -> None:
        print(line(event), flush=True)

    def end(self, task: Mapping[str, Any]) -> None:
        print(tables.outcome(task), flush=True)


class _Bar(_View):
    """Prints steps, log lines and statuses above a bar that shows the progress."""

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
        self._progress.console.print(tables.outcome(task), markup=False, style=tables.COLOURS.get(task["status"]))


def line(event: Mapping[str, Any]) -> str:
    """An event as a line, such as `12:30:01 step      soup`."""
    data = event["data"]
    match event["event"]:
        case "status":
            text = f"{event['status']} ({event['cause']}, attempt {event['attempt']})"
        case "progress":
            text = tables.progress(data)
        case "step":
            text = str(data.get("name"))
        case "output":
            told = data.get("data")
            text = told if isinstance(told, str) else tables.as_json(told)
        case _:
            fields = dict(data.get("fields") or {})
            where = tables.places(fields.pop("frames")) if isinstance(fields.get("frames"), list) else ""
            text = f"{data.get('message')}{where}" + "".join(f" {name}={value!r}" for name, value in fields.items())
    return f"{event['at'][11:19]} {event['event']:<9} {escape(text)}"
