"""The child's side of processes.py: `python -m quart_app.runner.child FD PARENT_PID`."""

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

from quart_app.core import codec
from quart_app.core.errors import NonRetryable, Retry, UploadNotFound
from quart_app.core.retry import is_retryable
from quart_app.core.task import Claimed
from quart_app.files import Files
from quart_app.runner.registry import Registry, load_module
from quart_app.runner.upload import Upload

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

PR_SET_PDEATHSIG: Final = 1


class Request(msgspec.Struct):
    module: str
    file: str | None
    kind: str
    task: Claimed
    max_result: int
    data_dir: str
    life: str
    log_level: int


class Found(msgspec.Struct):
    """The server's answer to a question for an upload."""

    found: Upload | None = None
    missing: str = ""


class ProcessTaskContext:
    """The context of an `executor="process"` handler: what it is, progress, uploads, files, and whether it should
    stop. No steps."""

    def __init__(
        self, channel: socket.socket, lines: BinaryIO, task: Claimed, args: dict[str, Any], files: Files
    ) -> None:
        self._channel = channel
        self._lines = lines
        self.files = files
        self.task_id = task.id
        self.kind = task.kind
        self.attempt = task.attempt
        self.owner = task.owner
        self.args = args
        self.cancelled = False

    @property
    def logger(self) -> BoundLogger:
        from quart_app.runner.logger import task_logger  # structlog takes as long to import as all of this package

        return task_logger(self.kind, self.task_id)

    def progress(self, done: float | None = None, total: float | None = None, message: str | None = None) -> None:
        text = codec.clean(message, 1000) if message is not None else None
        _send(self._channel, {"progress": [done, total, text]})

    def upload(self, upload_id: str) -> Upload:
        """A file that the owner of this task has uploaded. Raises UploadNotFound."""
        _send(self._channel, {"upload": upload_id})
        answer = msgspec.json.decode(self._lines.readline(), type=Found, dec_hook=lambda kind, value: kind(value))
        if answer.found is None:
            raise UploadNotFound(answer.missing)
        return answer.found


def main() -> None:
    _die_with_parent(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the server's terminal is the server's to handle
    signal.signal(signal.SIGTERM, lambda *_: None)
    channel = socket.socket(fileno=int(sys.argv[1]))
    logging.getLogger().addHandler(_ToServer(channel))
    with channel.makefile("rb") as lines:
        for line in lines:
            if _serve(channel, lines, msgspec.json.decode(line, type=Request)):
                return


def _serve(channel: socket.socket, lines: BinaryIO, request: Request) -> bool:
    """Run one request; True when it was cancelled, which also means that nobody waits for an answer."""
    try:
        registry = Registry()
        registry.add_module(_module(request))
        kind = registry.get(request.kind)
        if kind is None:
            raise LookupError(f"kind {request.kind} is not declared in {request.module}")
        args = kind.parse(codec.loads(request.task.args))
    except BaseException as error:
        _send(channel, {"error": _describe(error, retryable=False)})
        return False
    context = ProcessTaskContext(channel, lines, request.task, args, Files(Path(request.data_dir), request.life))

    def stop(*_: object) -> None:
        context.cancelled = True

    signal.signal(signal.SIGTERM, stop)
    logging.getLogger().setLevel(request.log_level)
    try:
        value = kind.function(context, **args) if kind.takes_context else kind.function(**args)
        result = codec.encode(value)
        if len(result.encode()) > request.max_result:
            described = {"type": "result_too_large", "message": f"over {request.max_result} bytes of JSON"}
            answer: dict[str, Any] = {"error": {**_NOTHING, **described}}
        else:
            answer = {"result": result}
    except codec.NotJson as error:
        answer = {"error": {**_NOTHING, "type": "not_json", "message": str(error)}}
    except BaseException as error:
        options = kind.options
        answer = {"error": _describe(error, is_retryable(error, options.retry_on, options.no_retry_on))}
    if not context.cancelled:
        _send(channel, answer)
    return context.cancelled


_NOTHING: Final = {"traceback": None, "retryable": False, "after_ms": None}


def _describe(error: BaseException, retryable: bool) -> dict[str, Any]:
    try:
        message = str(error)
        # Where a handler says itself that it cannot go on, the place tells nothing.
        expected = isinstance(error, (Retry, NonRetryable))
        trace = "" if expected else "".join(traceback.format_exception(error, limit=-20))
    except BaseException:
        message, trace = f"<the text of this {type(error).__name__} cannot be had>", ""
    after = error.after if isinstance(error, Retry) else None
    return {
        "type": codec.clean(type(error).__name__, 200),
        "message": codec.clean(message, 4096).encode()[:4096].decode(errors="ignore"),
        "traceback": codec.clean(trace[-16_384:], 16_384) or None,
        "retryable": retryable,
        "after_ms": int(after * 1000) if after is not None else None,
    }


def _module(request: Request) -> ModuleType:
    if request.file is not None and (request.module == "__main__" or request.module.startswith("quart_app_tasks_")):
        return load_module(request.file)
    return load_module(request.module)


class _ToServer(logging.Handler):
    """The server writes the log: a second hand in its file would tear lines and rotation."""

    def __init__(self, channel: socket.socket) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = _FORMATTER.formatException(record.exc_info)[-16_384:] if record.exc_info else ""
            given: dict[Any, Any] = getattr(record, "fields", {})
            fields = {_clean(str(name)): _clean(codec.scalar(value, 2048)) for name, value in given.items()}
            line = [record.levelno, record.name, _clean(record.getMessage()), fields, _clean(trace)]
            _send(self._channel, {"log": line})
        except Exception:
            self.handleError(record)


def _clean(value: Any) -> Any:
    return codec.clean(value, 16_384) if isinstance(value, str) else value


_FORMATTER: Final = logging.Formatter()
_sending: Final = threading.Lock()


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    with _sending:
        channel.sendall(msgspec.json.encode(message) + b"\n")


def _die_with_parent(parent: int) -> None:
    """Linux: SIGKILL when the parent's main thread ends. It may have ended before we could ask for that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
