"""The child's side of pool.py: `python -m quart_app.engine.processes.child FD PARENT_PID LIFE_FD STACK_FD`."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec

from quart_app.core import codec, exception_groups
from quart_app.core.errors import Foreseen, NonRetryable, Retry, UploadNotFound
from quart_app.core.retry import after_ms, is_retryable
from quart_app.core.task import Claimed
from quart_app.engine import output
from quart_app.engine.kind import TaskKind
from quart_app.engine.places import place_of
from quart_app.engine.processes import memory, stack_pipe
from quart_app.engine.registry import Registry, load_module
from quart_app.engine.upload import Upload
from quart_app.process import forks
from quart_app.process.files import Files
from quart_app.process.setup import forbid_core_dumps

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36


class Request(msgspec.Struct):
    run: int
    module: str
    file: str | None
    kind: str
    task: Claimed
    max_result: int
    data_dir: str
    life: str
    log_level: int


class Found(msgspec.Struct):
    """The server's answer to a request for an upload."""

    found: Upload | None = None
    missing: str = ""


class ProcessTaskContext:
    """The context of an `executor="process"` handler: the data of its task, progress, output, uploads, files, and
    whether it should stop. It has no steps."""

    def __init__(
        self, channel: _Channel, run: int, lines: BinaryIO, task: Claimed, args: dict[str, Any], files: Files
    ) -> None:
        self._channel = channel
        self._run = run
        self._lines = lines
        self._asking = threading.Lock()
        self._closed = False
        self.files = files
        self.task_id = task.id
        self.kind = task.kind
        self.attempt = task.attempt
        self.owner = task.owner
        self.args = args
        self.cancelled = False

    @property
    def logger(self) -> BoundLogger:
        from quart_app.engine.logger import task_logger  # structlog takes as long to import as all of this package

        return task_logger(self.kind, self.task_id)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f'ctx.{name} does not exist in a child process (executor="process")', name=name, obj=self)

    def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        text = codec.clean(message, 1000) if message is not None else None
        self._send({"progress": [done, total, text]})

    def emit(self, data: Any) -> None:
        """As `TaskContext.emit`. It waits when the server is slower; a full history ends the attempt and this process.
        Raises ValueError, NotJson."""
        self._send({"output": output.encode(data)})

    def upload(self, upload_id: str) -> Upload:
        """A file that the owner of this task has uploaded. Raises UploadNotFound."""
        with self._asking:
            self._send({"upload": upload_id})
            answer = msgspec.json.decode(self._lines.readline(), type=Found, dec_hook=lambda kind, value: kind(value))
        if answer.found is None:
            raise UploadNotFound(answer.missing)
        return answer.found

    def _send(self, message: dict[str, Any]) -> None:
        if self._closed:
            raise RuntimeError("the task has ended; what its handler has left running cannot speak for it")
        self._channel.send(self._run, message)

    def close(self) -> None:
        """Called when the handler has returned: a thread that it has left behind can send nothing more."""
        with self._asking:  # an answer under way must not be taken for the next request
            self._closed = True


def main() -> None:
    number, parent, life, stack = (int(text) for text in sys.argv[1:5])
    forbid_core_dumps()
    stack_pipe.listen(stack)
    _die_with_parent(parent, asked=life >= 0 and forks.adopt(life))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles a Ctrl-C in its terminal
    signal.signal(signal.SIGTERM, lambda *_: None)
    channel = _Channel(number)
    logging.getLogger().addHandler(_ToServer(channel))
    with channel.socket.makefile("rb") as lines:
        for line in lines:
            if _serve(channel, lines, msgspec.json.decode(line, type=Request)):
                return


class _Channel:
    """The socket to the server. Started programs and forked children do not inherit it."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.set_inheritable(False)
        forks.hide(descriptor)
        self.run = 0
        self._sending = threading.Lock()
        self._older: set[int | None] = set()

    def begin(self, run: int) -> None:
        self.run = run
        self._older = {thread.ident for thread in threading.enumerate()} - {threading.main_thread().ident}

    def send(self, run: int, message: dict[str, Any]) -> None:
        with self._sending:
            self.socket.sendall(msgspec.json.encode({"run": run, **message}) + b"\n")

    def send_log(self, thread: int | None, line: list[Any]) -> None:
        self.send(0 if thread in self._older else self.run, {"log": line})


def _serve(channel: _Channel, lines: BinaryIO, request: Request) -> bool:
    """Run one request. True when it was cancelled: then the server waits for no answer."""
    channel.begin(request.run)
    channel.send(request.run, {"taken": True})
    try:
        registry = Registry()
        registry.add_module(_module(request))
        kind = registry.get(request.kind)
        if kind is None:
            raise LookupError(f"kind {request.kind} is not declared in {request.module}")
        args = kind.parse(codec.loads(request.task.args))
    except BaseException as error:
        channel.send(request.run, {"error": _describe(error, retryable=False), "left": _left_processes()})
        return False
    files = Files(Path(request.data_dir), request.life)
    context = ProcessTaskContext(channel, request.run, lines, request.task, args, files)

    def stop(*_: object) -> None:
        context.cancelled = True

    signal.signal(signal.SIGTERM, stop)
    logging.getLogger().setLevel(request.log_level)
    answer = _answer(kind, context, args, request.max_result)
    context.close()
    if not context.cancelled:
        channel.send(request.run, {**answer, "left": answer.get("left", False) or _left_processes()})
    return context.cancelled


def _answer(
    kind: TaskKind[..., Any], context: ProcessTaskContext, args: dict[str, Any], max_result: int
) -> dict[str, Any]:
    options = kind.options
    try:
        with memory.at_most(options.memory):
            value = kind.function(context, **args) if kind.takes_context else kind.function(**args)
            if forks.is_child():
                forks.leave(None)
            result = codec.encode(value)
        if len(result.encode()) > max_result:
            text = f"over {max_result} bytes of JSON"
            return {"error": {**_NOTHING, "type": "result_too_large", "message": text}}
        return {"result": result}
    except codec.NotJson as error:
        return {"error": {**_NOTHING, "type": "not_json", "message": str(error)}}
    except BaseException as error:
        if forks.is_child():
            forks.leave(error)
        retryable = is_retryable(error, options.retry_on, options.no_retry_on)
        described: dict[str, Any] = {**_describe(error, retryable), "place": place_of(kind.function, error)}
        if options.memory is None or not any(isinstance(one, MemoryError) for one in exception_groups.leaves(error)):
            return {"error": described}
        text = f"the attempt needed more than {options.memory >> 20} MB"
        return {"error": {**described, "type": "out_of_memory", "message": text}, "left": True}


def _left_processes() -> bool:
    """Whether a process that was started here is left, even one that has ended and was not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


_NOTHING: Final = {"traceback": None, "retryable": False, "after_ms": None}


def _describe(error: BaseException, retryable: bool) -> dict[str, Any]:
    # When a handler itself says that it cannot go on, the traceback adds nothing.
    expected = all(isinstance(one, (Retry, NonRetryable, Foreseen)) for one in exception_groups.leaves(error))
    try:
        trace = "" if expected else "".join(traceback.format_exception(error, limit=-20))
    except BaseException:
        trace = ""
    return {
        "type": codec.clean(type(error).__name__, 200),
        "message": codec.clean(exception_groups.text_of(error), 4096).encode()[:4096].decode(errors="ignore"),
        "traceback": codec.clean(trace[-16_384:], 16_384) or None,
        "retryable": retryable,
        "after_ms": after_ms(error),
    }


def _module(request: Request) -> ModuleType:
    if request.file is not None and (request.module == "__main__" or request.module.startswith("quart_app_tasks_")):
        return load_module(request.file)
    return load_module(request.module)


class _ToServer(logging.Handler):
    """Sends log lines to the server, which writes them: a second writer to its file would break lines and rotation."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = _FORMATTER.formatException(record.exc_info)[-16_384:] if record.exc_info else ""
            given: dict[Any, Any] = getattr(record, "fields", {})
            fields = {_clean(str(name)): _clean(codec.scalar(value, 2048)) for name, value in given.items()}
            line = [record.levelno, record.name, _clean(record.getMessage()), fields, _clean(trace)]
            self._channel.send_log(record.thread, line)
        except Exception:
            self.handleError(record)


def _clean(value: Any) -> Any:
    return codec.clean(value, 16_384) if isinstance(value, str) else value


_FORMATTER: Final = logging.Formatter()


def _die_with_parent(parent: int, asked: bool) -> None:
    """Linux: SIGKILL when the parent's main thread ends. Exits if the parent ended before that was set."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        if not asked:  # this signal may come before the group's, which the death of this process would prevent
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # a process below that loses its parent becomes a child here, and is found
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
