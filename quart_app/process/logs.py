"""Logging to the console (lines for people) and a rotated file (one JSON object a line), through bounded queues: a
console or a disk that hangs costs lines, which are counted, and never stops the server.

Records of the standard library's loggers and of structlog's are handled alike: ours, Hypercorn's, users' own.
"""

from __future__ import annotations

import datetime
import errno
import json
import logging
import logging.handlers
import os
import queue
import select
import stat
import sys
import threading
import time
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, Final, cast

import structlog
from structlog.contextvars import get_contextvars
from structlog.stdlib import ExtraAdder
from structlog.typing import EventDict

from quart_app.core.codec import scalar
from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.core.secret import hide
from quart_app.engine.logger import PROCESSORS
from quart_app.process import log_floods
from quart_app.settings import Settings

MAX_QUEUED: Final = 10_000
MAX_LINE: Final = 16_384  # characters of a message, and of a traceback
MAX_FIELD: Final = 2_048  # characters of one field
MAX_FIELDS: Final = 32
FILE_BYTES: Final = 10 * 1024 * 1024
FILES: Final = 5
# Libraries that write a line for each call or request below this level.
QUIET: Final = ("aiosqlite", "asyncio", "httpcore", "httpx", "mail.log")
HYPERCORN: Final = "hypercorn.error"
_OWN: Final = ("time", "level", "logger", "event", "task_id", "exception")

log = logging.getLogger("quart_app.logs")

_add_extra: Final = ExtraAdder()
_PLAIN: Final = logging.Formatter()
_sinks: list[_Sink] = []


# --- from a record to an event


def _event(record: logging.LogRecord) -> EventDict:
    """One flat dict of bounded scalars, our fields first. Another field with the name of one of them gets a `_`
    appended."""
    extra: EventDict = _add_extra(log, "", {"_record": record})
    for name in ("_record", "message", "asctime"):  # the last two are left by the formatter of another handler
        extra.pop(name, None)
    found: EventDict = {**get_contextvars(), **extra}
    fields = found.pop("fields", None) or {}
    trace = found.pop("trace", None) or record.stack_info or ""
    if record.exc_info:
        trace = _PLAIN.formatException(record.exc_info)
    task_id = found.pop("task_id", "") or fields.get("task_id", "")
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    made: EventDict = {
        "time": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "level": record.levelname,
        "logger": record.name,
        "event": hide(_message(record.msg, record.args))[:MAX_LINE],
    }
    if task_id:
        made["task_id"] = scalar(task_id, MAX_FIELD)
    for name, value in [*found.items(), *fields.items()][:MAX_FIELDS]:
        shown = scalar(value, MAX_FIELD)
        if name != "task_id" or shown != made.get("task_id"):
            made[f"{name}_" if name in _OWN else str(name)[:100]] = shown
    if trace:
        made["exception"] = hide(str(trace))[-MAX_LINE:]
    return made


def _message(message: Any, args: Any) -> str:
    try:
        text = str(message)
        return text % args if args else text
    except Exception:  # the placeholders do not fit, or a value cannot be shown
        return f"{scalar(message, MAX_FIELD)} (its arguments do not fit)"


# --- from an event to a line


def _for_people(event: EventDict) -> str:
    """`time level [task] logger: event name=value`, then the lines of the traceback."""
    head = f"{event['time']} {event['level']} [{event.get('task_id', '-')}] {event['logger']}: {event['event']}"
    fields = "".join(f" {name}={value!r}" for name, value in event.items() if name not in _OWN)
    # Indented and marked, so that no line of a trace looks like a line of the log.
    below = "".join(f"\n    | {escape(line)}" for line in event.get("exception", "").splitlines())
    return escape(head + fields) + below


def escape(text: str) -> str:
    """The text with line ends and control characters as escapes, so that it can neither forge a line nor control a
    terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _as_json(event: EventDict) -> str:
    return escape_json(json.dumps(event, ensure_ascii=False))


def escape_json(text: str) -> str:
    """The same for JSON text: characters that cannot be printed are escaped, also where JSON does not require it. Line
    ends stay: JSON has them between values only."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)


def _json_escape(one: str) -> str:
    return "\\u007f" if one == "\x7f" else json.dumps(one)[1:-1]


# --- from a line to the outputs


class _Front(logging.Handler):
    """Makes the event for all sinks at once, while the context and the values are unchanged."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = _event(record)
        except Exception:  # a value that cannot be logged must cost the caller no more than the line
            for sink in _sinks:
                sink.dropped += 1
            return
        for sink in _sinks:
            sink.put(event)


class _Sink:
    """Writes in a thread of its own; drops and counts the events when the thread cannot keep up or cannot write."""

    def __init__(self, target: logging.Handler, render: Callable[[EventDict], str]) -> None:
        self._target = target
        self._render = render
        self._queue: queue.Queue[EventDict] = queue.Queue(MAX_QUEUED)
        self._told = 0
        self.dropped = 0
        threading.Thread(target=self._work, name="log", daemon=True).start()

    def put(self, event: EventDict) -> None:
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def wait_idle(self, timeout: float) -> None:
        """Wait until all is written, at most `timeout` seconds."""
        ends = time.monotonic() + timeout
        if self._queue.all_tasks_done.acquire(timeout=timeout):
            try:
                left = max(ends - time.monotonic(), 0.0)
                self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, left)
            finally:
                self._queue.all_tasks_done.release()

    def _work(self) -> None:
        while True:
            event = self._queue.get()
            try:
                self._write(event)
                if self.dropped != self._told:
                    missing, self._told = self.dropped - self._told, self.dropped
                    self._write(
                        _event(log.makeRecord(log.name, 30, "", 0, "%d log lines were dropped", (missing,), None))
                    )
            except Exception:
                self.dropped += 1
            finally:
                self._queue.task_done()

    def _write(self, event: EventDict) -> None:
        self._target.emit(logging.makeLogRecord({"msg": self._render(event)}))


class _Raising:
    """Mixed in before a handler: it raises the error of a line that could not be written, for the sink to count.
    logging would print a traceback of it on the console."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        raise  # noqa: PLE0704 - called while the error is handled


class _Console(_Raising, logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _File(_Raising, logging.handlers.RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        """Only the owner may read a new file, as with the database: lines contain data of tasks."""
        made = open(  # noqa: SIM115 - the handler closes it
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=_for_owner
        )
        return cast(TextIOWrapper, made)

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - logging's name
        """Only a regular file has a length. Python 3.13 asks a pipe for it, too, which is an error for each line."""
        if self.stream is None:  # the last rollover failed
            self.stream = self._open()
        return int(stat.S_ISREG(os.fstat(self.stream.fileno()).st_mode) and super().shouldRollover(record))


def _for_owner(path: str, flags: int) -> int:
    # Opening a pipe would wait for a reader; with O_NONBLOCK it is an error (ENXIO).
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)  # as before: writing may wait, because it is in the thread of the log
    return descriptor


def _print_once(_record: logging.LogRecord) -> bool:
    """Hypercorn's own command gives its logger a handler for stderr; our console prints the line already."""
    logger = logging.getLogger(HYPERCORN)
    logger.handlers = [one for one in logger.handlers if getattr(one, "stream", None) is not sys.stderr]
    return True


def setup(settings: Settings) -> None:
    """Configure the root logger, and structlog to use it. Raises ConfigError when the log file cannot be opened,
    StoreBroken when it is the one beside the database."""
    try:
        settings.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _File(settings.log_path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", errors="replace")
    except OSError as error:
        why = "a pipe that nobody reads, or a socket" if error.errno == errno.ENXIO else error.strerror
        if not settings.log_file:
            raise StoreBroken(f"cannot write {settings.log_path}: {why}") from error
        raise ConfigError(f"QUART_APP_LOG_FILE: cannot write {settings.log_path}: {why}") from error
    _sinks.extend((_Sink(_Console(sys.stderr), _for_people), _Sink(file, _as_json)))
    root = logging.getLogger()
    root.addHandler(_Front())
    root.setLevel(settings.log_level)
    logging.getLogger(HYPERCORN).addFilter(_print_once)
    log_floods.calm()
    for name in QUIET:
        logging.getLogger(name).setLevel("WARNING")
    structlog.configure(
        processors=PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def dropped() -> int:
    """Lines that the console and the file have lost."""
    return sum(sink.dropped for sink in _sinks)


def flush(timeout: float = 0.5) -> None:
    """Give the log threads a moment to write what they hold."""
    ends = time.monotonic() + timeout
    for sink in _sinks:
        sink.wait_idle(max(ends - time.monotonic(), 0.0))


def last_words(text: str) -> None:
    """Write a line to stderr and what the log still holds, before the process is ended. Takes at most a second: stderr
    may have no reader, and a process that must end does not wait for one. It starts no thread: none may be left."""
    try:
        _say(f"{text}\n".encode(errors="backslashreplace"))
    except (OSError, ValueError):
        pass  # closed; the log has it
    flush()


def _say(line: bytes) -> None:
    stream = sys.__stderr__  # a task may have replaced sys.stderr
    if stream is None:
        return
    descriptor = stream.fileno()
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in poll.poll(500)):
            return  # stderr takes no line within half a second: it has no reader
        line = line[: select.PIPE_BUF]  # writing more could block
    os.write(descriptor, line)
