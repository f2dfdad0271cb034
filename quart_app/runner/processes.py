"""CPU-bound handlers in killable child processes, which die with the server.

A child is a fresh interpreter (never a fork of this process: that would copy SQLite's handles and threads), reused for
the next task of any kind. It speaks JSON lines over a socket pair, so that what a handler prints is not taken for an
answer. At cancel and timeout it gets SIGTERM (`ctx.cancelled` turns true) and, two seconds later, SIGKILL.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quart_app.core.errors import StoreUnavailable, UploadNotFound
from quart_app.core.task import Claimed
from quart_app.runner.context import TaskContext
from quart_app.runner.registry import TaskKind

log = logging.getLogger("quart_app.runner")

KILL_AFTER: Final = 2.0  # seconds between SIGTERM and SIGKILL
_OF_TIME: Final = (signal.SIGXCPU, signal.SIGPROF)  # what a handler's own RLIMIT_CPU or ITIMER_PROF sends


class ChildDied(Exception):
    """The child process ended without an answer: a signal, `os._exit`, out of memory."""


class ChildError(Exception):
    """A handler's error, described by the child. `final`: the kind's rules allow no retry."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        super().__init__(described["message"])
        self.type: str = described["type"]
        self.message: str = described["message"]
        self.traceback: str | None = described["traceback"]
        self.final = not described["retryable"]
        self.after_ms: int | None = described["after_ms"]


class _Child:
    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer


class Processes:
    def __init__(self, slots: int, max_result: int, data_path: Path, life: str) -> None:
        """`life`: whose files those of the children are, see Files."""
        self._slots = asyncio.Semaphore(slots)
        self._data_dir = str(data_path.absolute())
        self._life = life
        self._max_result = max_result
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    async def run(
        self, kind: TaskKind[..., Any], task: Claimed, context: TaskContext, on_start: Callable[[], None]
    ) -> str:
        """Run the handler in a child, once one is free, and return its result as JSON text. Raises ChildDied,
        ChildError."""
        async with self._slots:
            on_start()
            child = self._idle.pop() if self._idle else await self._start()
            try:
                answer = await self._converse(child, kind, task, context)
            except BaseException:
                await self._end(child)
                raise
            self._idle.append(child)
        if "error" in answer:
            raise ChildError(answer["error"])
        return str(answer["result"])

    async def close(self) -> None:
        for child in list(self._all):
            await self._end(child, at_once=True)

    async def _converse(
        self, child: _Child, kind: TaskKind[..., Any], task: Claimed, context: TaskContext
    ) -> dict[str, Any]:
        module = sys.modules[kind.function.__module__]
        request = {
            "module": module.__name__,
            "file": getattr(module, "__file__", None),
            "kind": kind.name,
            "task": task,
            "max_result": self._max_result,
            "data_dir": self._data_dir,
            "life": self._life,
            "log_level": logging.getLogger("quart_app.task").getEffectiveLevel(),
        }
        child.writer.write(msgspec.json.encode(request) + b"\n")
        await child.writer.drain()
        while line := await child.reader.readline():
            message: dict[str, Any] = msgspec.json.decode(line)
            if "progress" in message:
                await context.progress(*message["progress"])
            elif "upload" in message:
                answer = msgspec.json.encode(await _find(message["upload"], context), enc_hook=str)
                child.writer.write(answer + b"\n")
                await child.writer.drain()
            elif "log" in message:
                level, name, text, fields, trace = message["log"]
                extra = {"task_id": task.id, "fields": fields, "trace": trace}
                logging.getLogger(name).log(level, "%s", text, extra=extra)
            else:
                return message
        code = await child.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        why = ": its processor time was over" if -code in _OF_TIME else ""
        raise ChildDied(f"the child process ended with {how}{why}")

    async def _start(self) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            # The connection first: between a process that has started and `_all` nothing may wait, or a stop in that
            # moment would leave the process to itself. A result is a JSON text inside JSON: escaping can double it.
            reader, writer = await asyncio.open_connection(sock=ours, limit=2 * self._max_result + 1_048_576)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "quart_app.runner.child",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                )
            except BaseException:
                writer.close()
                raise
        child = _Child(process, reader, writer)
        self._all.add(child)
        return child

    async def _end(self, child: _Child, at_once: bool = False) -> None:
        if child in self._idle:
            self._idle.remove(child)
        if child.process.returncode is None:
            child.process.kill() if at_once else child.process.terminate()
            try:
                await asyncio.wait_for(child.process.wait(), KILL_AFTER)
            except (TimeoutError, asyncio.CancelledError):
                if child.process.returncode is None:
                    child.process.kill()
                await child.process.wait()
        self._all.discard(child)  # not before: a close meanwhile must find it
        child.writer.close()


async def _find(upload_id: Any, context: TaskContext) -> dict[str, Any]:
    """The answer to a child that asks for an upload."""
    try:
        return {"found": await context.upload(str(upload_id))}
    except (UploadNotFound, StoreUnavailable) as error:
        return {"missing": str(error)}
