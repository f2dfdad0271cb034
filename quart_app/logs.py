"""Logging to the console and a rotated file, through bounded queues: a console or a disk that hangs costs lines, which
are counted, and never stops the server."""

from __future__ import annotations

import datetime
import logging
import logging.handlers
import queue
import sys
import threading
from typing import Final

from quart_app.core.errors import ConfigError
from quart_app.runner.runner import current_task
from quart_app.settings import Settings

MAX_QUEUED: Final = 10_000
MAX_LINE: Final = 16_384
FILE_BYTES: Final = 10 * 1024 * 1024
FILES: Final = 5

_sinks: list[_Sink] = []


class _Format(logging.Formatter):
    """`time level task logger message`: one line a record whatever it holds, then the lines of its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        task = getattr(record, "task_id", "") or "-"
        fields = "".join(f" {key}={value!r}" for key, value in (getattr(record, "fields", None) or {}).items())
        text = f"{record.getMessage()}{fields}"
        head = f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z {record.levelname} [{task}] {record.name}: "
        trace = self.formatException(record.exc_info) if record.exc_info else getattr(record, "trace", "")
        # Indented and marked, so that no line of a trace can pass for a line of the log.
        below = "".join(f"\n    | {escape(line)}" for line in trace[-MAX_LINE:].splitlines())
        return head + escape(text[:MAX_LINE]) + below


def escape(text: str) -> str:
    """No line can be forged and no terminal steered: line ends and control characters are written as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class _Sink(logging.Handler):
    """Hands formatted lines to a thread of its own; drops and counts them when the thread cannot keep up."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self._target = target
        self._queue: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED)
        self.dropped = 0
        self.idle = threading.Event()
        self.idle.set()
        threading.Thread(target=self._work, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "task_id", ""):
            record.task_id = current_task.get()
        try:
            self.idle.clear()
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        while True:
            record = self._queue.get()
            try:
                self._target.handle(record)
            except Exception:
                self.dropped += 1
            if self._queue.empty():
                self.idle.set()


class _Quiet:
    """Mixed in before a handler: an unwritable target must not print tracebacks for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


class _Console(_Quiet, logging.StreamHandler):  # type: ignore[type-arg]
    pass


class _File(_Quiet, logging.handlers.RotatingFileHandler):
    pass


def setup(settings: Settings) -> None:
    """Configure the root logger. Raises ConfigError when the log file cannot be opened."""
    targets: list[logging.Handler] = [_Console(sys.stderr)]
    try:
        settings.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        targets.append(
            _File(settings.log_path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", errors="replace")
        )
    except OSError as error:
        raise ConfigError(f"QUART_APP_LOG_FILE: cannot write {settings.log_path}: {error.strerror}") from error
    root = logging.getLogger()
    for target in targets:
        target.setFormatter(_Format())
        sink = _Sink(target)
        _sinks.append(sink)
        root.addHandler(sink)
    root.setLevel("WARNING")
    logging.getLogger("quart_app").setLevel(settings.log_level)


def flush(timeout: float = 0.5) -> None:
    """Give the log threads a moment to write what they hold."""
    for sink in _sinks:
        sink.idle.wait(timeout)
