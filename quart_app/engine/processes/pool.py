"""CPU-bound handlers in killable child processes, which die with the server.

A child is a fresh interpreter (never a fork of this process: that would copy SQLite's handles and threads). It is
reused for the owner's next task of any kind. It exchanges JSON lines over a socket pair, so that a handler's prints are
not taken for an answer. Each line has the number of its run, so that lines of an earlier run in the child are ignored.
At cancel and timeout it gets SIGTERM (`ctx.cancelled` turns true) and, two seconds later, SIGKILL.

Processes that a handler starts end with it: each child leads a process group, which gets SIGKILL with the child, and
when the server is gone (see forks.py). A child in which a process was left is not used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quart_app.clock import Clock
from quart_app.core.errors import UploadNotFound
from quart_app.core.task import Claimed
from quart_app.engine.context import TaskContext
from quart_app.engine.kind import TaskKind
from quart_app.engine.processes.stack_pipe import StackPipe
from quart_app.engine.retry_store_call import retry_store_call
from quart_app.engine.stacks import Place
from quart_app.process import forks
from quart_app.settings import IN_FILES, PREFIX, SECRET, Settings

log = logging.getLogger("quart_app.runner")

_Stray = tuple[int, str]  # process id, and when the process started

KILL_AFTER: Final = 2.0  # seconds between SIGTERM and SIGKILL
STARTS: Final = 3  # children in a row that may die before one has taken the task
MAX_STRAYS: Final = 10_000
_OF_TIME: Final = (signal.SIGXCPU, signal.SIGPROF)  # what a handler's own RLIMIT_CPU or ITIMER_PROF sends


class ChildDied(Exception):
    """The child process ended without an answer: a signal, `os._exit`, out of memory."""


class _NotTaken(ChildDied):
    """The child ended before it had taken the task."""


class ChildError(Exception):
    """A handler's error, described by the child. `final`: the kind's rules allow no retry."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        super().__init__(described["message"])
        self.type: str = described["type"]
        self.message: str = described["message"]
        self.traceback: str | None = described["traceback"]
        self.place: str | None = described.get("place")
        self.final = not described["retryable"]
        self.after_ms: int | None = described["after_ms"]


class _Child:
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: socket.socket,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pipe: StackPipe,
    ) -> None:
        self.process = process
        self.channel = channel
        self.reader = reader
        self.writer = writer
        self.pipe = pipe
        self.served = 0
        self.runs = ""  # the id of the task whose handler it runs
        self.owner: str | None = None  # the owner whose tasks it has run
        self.most = 0.0  # bytes that one of its attempts was allowed: what it has left may be as much
        self.ended: asyncio.Task[None]

    async def send(self, line: bytes) -> None:
        self.writer.write(line + b"\n")
        await self.writer.drain()

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self, strays: set[_Stray]) -> None:
        """Send SIGKILL to the child, its process group and those of its descendants that have left the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid, started in strays:
            with contextlib.suppress(OSError):
                if _started(pid) == started:
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.writer.close()
        self.pipe.close()

    def how_it_ended(self) -> str:
        code = self.process.returncode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        why = ": its processor time was over" if -code in _OF_TIME else ""
        return f"the child process ended with {how}{why}"


class Processes:
    def __init__(self, settings: Settings, life: str, clock: Clock) -> None:
        """`life`: the name of this process in the names of temporary files, see Files."""
        self._most = settings.cpu_slots
        self._slots = asyncio.Semaphore(settings.cpu_slots)
        self._data_dir = str(settings.data_path.absolute())
        self._life = life
        self._max_result = settings.max_result
        self._clock = clock
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._runs = itertools.count(1)

    async def stack(self, task_id: str) -> list[Place] | None:
        """Where the handler of a task is, outermost first. None: no child runs it; an empty list: it does not
        answer."""
        child = next((child for child in self._all if child.runs == task_id), None)
        if child is None:
            return None
        return await child.pipe.ask(child.process.pid) or []

    async def run(
        self,
        kind: TaskKind[..., Any],
        task: Claimed,
        context: TaskContext,
        on_start: Callable[[], None],
        on_ignored: Callable[[], Awaitable[None]],
    ) -> str:
        """Run the handler in a child, once one is free, and return its result as JSON text. `on_ignored` is awaited
        before the child is killed, when its handler has not ended in time. Raises ChildDied, ChildError."""
        async with self._slots:
            on_start()
            for start in itertools.count(1):
                child = await self._for(task.owner, kind.options.memory)
                try:
                    answer = await self._converse(child, kind, task, context)
                except _NotTaken:  # an idle child that has just died; the task is not the cause
                    await self._end(child)
                    if start == STARTS:
                        raise
                    continue
                except BaseException:
                    await self._end(child, on_ignored)
                    raise
                break
            child.served, child.runs = child.served + 1, ""
            if answer.get("left") or child.served >= kind.options.recycle:
                await self._end(child, at_once=True)
            elif not child.ended.done():
                self._idle.append(child)
        if "error" in answer:
            raise ChildError(answer["error"])
        return str(answer["result"])

    async def _for(self, owner: str | None, memory: int | None) -> _Child:
        """A child for the owner's task: an idle one that has run only this owner's tasks, or a new one. What a task has
        left in the memory of its process must not reach other owners, nor count against a kind that may have less."""
        limit = float("inf") if memory is None else memory
        fit = [child for child in reversed(self._idle) if child.owner == owner and child.most <= limit]
        if fit:
            child = max(fit, key=lambda one: one.most)  # leave the others to kinds that may have less
            self._idle.remove(child)
            child.most = max(child.most, limit)
            return child
        if len(self._all) >= self._most and self._idle:
            await self._end(self._idle[0], at_once=True)
        child = await self._start()
        child.owner, child.most = owner, limit
        return child

    async def close(self) -> None:
        for child in list(self._all):
            await self._end(child, at_once=True)

    async def _converse(
        self, child: _Child, kind: TaskKind[..., Any], task: Claimed, context: TaskContext
    ) -> dict[str, Any]:
        module = sys.modules[kind.function.__module__]
        number = next(self._runs)
        request = {
            "run": number,
            "module": module.__name__,
            "file": getattr(module, "__file__", None),
            "kind": kind.name,
            "task": task,
            "max_result": self._max_result,
            "data_dir": self._data_dir,
            "life": self._life,
            "log_level": logging.getLogger("quart_app.task").getEffectiveLevel(),
        }
        taken = False
        with contextlib.suppress(ConnectionError):  # it has ended; see below for how
            await child.send(msgspec.json.encode(request))
            while line := await child.reader.readline():
                message: dict[str, Any] = msgspec.json.decode(line)
                run = message.get("run")
                if "log" in message:
                    _log(message["log"], task.id if run == number else None)
                elif run != number:
                    continue  # from a thread that an earlier task has left behind
                elif "taken" in message:
                    taken, child.runs = True, task.id
                elif "progress" in message:
                    await context.progress(*message["progress"])
                elif "output" in message:
                    await context.emit_text(str(message["output"]))
                elif "upload" in message:
                    await child.send(msgspec.json.encode(await self._find(message["upload"], context), enc_hook=str))
                else:
                    return message
        if not (await asyncio.wait([child.ended], timeout=KILL_AFTER))[0]:
            child.kill(set())  # it has closed its end and will never answer
            await asyncio.wait([child.ended])
        raise (ChildDied if taken else _NotTaken)(child.how_it_ended())

    async def _start(self) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            # The connection comes first: nothing may be awaited between the start of the process and `_all`, or a stop
            # in that moment would leave the process running. A result is JSON inside JSON: escaping can double it.
            reader, writer = await asyncio.open_connection(sock=ours, limit=2 * self._max_result + 1_048_576)
            pipe = None
            try:
                life, pipe = forks.life(), StackPipe()
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "quart_app.engine.processes.child",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    str(life),
                    str(pipe.theirs),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), pipe.theirs, *([life] if life >= 0 else [])],
                    env=_environment(),
                    start_new_session=True,
                )
            except BaseException:
                writer.close()
                if pipe is not None:
                    pipe.close()
                raise
            finally:
                if pipe is not None:
                    pipe.give_away()
        child = _Child(process, ours, reader, writer, pipe)
        self._all.add(child)
        child.ended = asyncio.create_task(self._watch(child), name=f"child-{process.pid}")
        return child

    async def _watch(self, child: _Child) -> None:
        """Wait for the end of the child, so that no task gets it any more. Close the channel, so that no caller waits
        when a process that the child left behind holds the other end."""
        await child.process.wait()
        child.kill(set())
        if sys.platform == "linux":  # there, data that has arrived can still be read
            with contextlib.suppress(OSError):
                child.channel.shutdown(socket.SHUT_RD)
        if child in self._idle:
            self._idle.remove(child)
            self._all.discard(child)
            child.close()
            log.warning("an idle child process is gone: %s", child.how_it_ended())

    async def _end(
        self, child: _Child, on_ignored: Callable[[], Awaitable[None]] | None = None, at_once: bool = False
    ) -> None:
        if child in self._idle:
            self._idle.remove(child)
        strays = _descendants(child.process.pid)
        if child.process.returncode is None and not at_once:
            child.terminate()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([child.ended], timeout=KILL_AFTER)
                if on_ignored is not None and child.process.returncode is None:
                    await on_ignored()
        child.kill(strays | _descendants(child.process.pid))
        await asyncio.wait([child.ended])
        self._all.discard(child)  # not before: a close meanwhile must find it
        child.close()

    async def _find(self, upload_id: Any, context: TaskContext) -> dict[str, Any]:
        """The answer to a child that asks for an upload."""
        try:
            return {"found": await retry_store_call(lambda: context.upload(str(upload_id)), self._clock)}
        except UploadNotFound as error:
            return {"missing": str(error)}


def _environment() -> dict[str, str]:
    """The server's environment without the secrets: a child decodes data from clients."""
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRET} | IN_FILES.keys()
    kept = {name: value for name, value in os.environ.items() if name not in secrets}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _log(line: Any, task_id: str | None) -> None:
    level, name, text, fields, trace = line
    extra = {"fields": fields, "trace": trace, **({"task_id": task_id} if task_id is not None else {})}
    logging.getLogger(name).log(level, "%s", text, extra=extra)


def _descendants(pid: int) -> set[_Stray]:
    """All processes below this one, at any depth. Linux only."""
    found: set[_Stray] = set()
    waiting = [pid]
    while waiting and len(found) < MAX_STRAYS:
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in map(int, path.read_text("ascii").split()):
                    found.add((child, _started(child)))
                    waiting.append(child)
    return found


def _started(pid: int) -> str:
    """When the process started; with the process id it identifies the process. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
