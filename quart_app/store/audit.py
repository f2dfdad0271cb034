"""Reads a whole database and says what must not be: the promises of the schema and of core/lifecycle.py, checked past
them. It changes nothing and works beside a running server: each range of tasks is read in one short snapshot."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.core.lifecycle import CRASH, TRANSITIONS
from quart_app.store import journal, migrate, statements

CHUNK: Final = 1000  # tasks in one snapshot
MAX_SNAPSHOT: Final = 1.0  # seconds, while somebody writes
MAX_FINDINGS: Final = 1000
OPERATIONS: Final = 20_000  # of SQLite's machine between two looks at the clock
LAST: Final = 2**63 - 1
CHILDREN: Final = ("args", "results", "progress", "steps", "errors", "tags", "events", "crash_groups")

LEGAL: Final = {(start, cause, end) for cause, (starts, end) in TRANSITIONS.items() for start in starts} | {
    (start, "crash", end) for start in CRASH[0] for end in CRASH[1]
}


class Report(msgspec.Struct):
    """`checked`: what was looked at and how many of it; `findings` and `skipped`: one line each."""

    checked: dict[str, int] = {}
    findings: list[str] = []
    skipped: list[str] = []


class _Interrupted(Exception):
    """A snapshot lasted too long beside somebody who writes."""


def audit(path: Path) -> Report:
    """Raises StoreBroken when the database cannot be read at all, ConfigError when it is not ours or not of this
    version."""
    migrations = migrate.find("sqlite")
    if migrate.check(path, migrations, only_read=True):
        raise StoreBroken(f"there is no database at {path}")
    with _reader(path) as reader:
        if reader.version < max(one.version for one in migrations):
            raise ConfigError(f"{path} has an older schema; `python -m quart_app migrate` brings it up to date")
        auditor = _Auditor(reader)
        try:
            auditor.tasks()
            auditor.keys()
            auditor.access()
            auditor.counters()
            auditor.integrity()
        except sqlite3.DatabaseError as error:
            auditor.find(
                f"the database cannot be read: {error}; `python -m quart_app restore FILE` puts a backup there"
            )
        return auditor.report


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[_Reader]:
    try:
        with journal.recovered(path, beside=False) as found, contextlib.closing(_Reader(found)) as reader:
            yield reader
    except (OSError, sqlite3.Error) as error:
        raise StoreBroken(f"cannot read {path}: {error}") from error


class _Reader:
    """A read-only connection whose snapshots end after a second when somebody writes meanwhile: the server could not
    checkpoint past them, and its -wal would grow."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
        self._connection.execute("PRAGMA query_only = ON")
        self._connection.set_progress_handler(self._too_long, OPERATIONS)
        self._wal = Path(f"{path}-wal")
        self._texts = {name: one.text for name, one in statements.load("audit").items()}
        self._ends = float("inf")
        self._written = 0
        self.version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]

    @contextlib.contextmanager
    def snapshot(self, patient: bool = False) -> Iterator[None]:
        """All that is read inside is of one moment. Raises _Interrupted, unless `patient`: what is
        read is little."""
        self._connection.execute("BEGIN")
        self._written = self._last_write()
        self._ends = float("inf") if patient else time.monotonic() + MAX_SNAPSHOT
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise _Interrupted from None
            raise
        finally:
            self._ends = float("inf")
            self._connection.execute("ROLLBACK")

    def __call__(self, statement: str, **params: Any) -> list[Any]:
        return self._connection.execute(self._texts[statement], params).fetchall()

    def _too_long(self) -> bool:
        return time.monotonic() > self._ends and self._last_write() != self._written

    def _last_write(self) -> int:
        try:
            return self._wal.stat().st_mtime_ns
        except OSError:
            return 0

    def close(self) -> None:
        self._connection.close()


class _Auditor:
    def __init__(self, reader: _Reader) -> None:
        self._read = reader
        self.report = Report()

    def find(self, line: str) -> None:
        if len(self.report.findings) < MAX_FINDINGS:
            self.report.findings.append(line)
        elif len(self.report.findings) == MAX_FINDINGS:
            self.report.findings.append(f"more than {MAX_FINDINGS} findings; the others are not listed")

    def _count(self, what: str, n: int) -> None:
        self.report.checked[what] = self.report.checked.get(what, 0) + n

    def tasks(self) -> None:
        """Rows, their status events and what hangs on them, range by range in the order of creation."""
        low, size = -LAST, CHUNK
        while True:
            try:
                high, tasks, events, suspects = self._range(low, size)
            except _Interrupted:
                size = max(size // 4, 1)
                continue
            self._count("tasks", tasks)
            self._count("status events", events)
            for low_seq in sorted({seq for seq, _ in suspects}):
                # What was wrong is looked at again, alone, before it is called a finding.
                for _, line in self._range(low_seq - 1, 1, low_seq)[3]:
                    self.find(line)
            if high == LAST:
                return
            low = high

    def _range(self, low: int, size: int, high: int | None = None) -> tuple[int, int, int, list[tuple[int, str]]]:
        """(the end of the range, its tasks, their status events, (seq, what is wrong) pairs)."""
        wrong: list[tuple[int, str]] = []
        with self._read.snapshot(patient=size == 1):
            if high is None:
                ((last, count),) = self._read("range", low=low, n=size)
                high = last if count == size else LAST  # the last range holds what hangs on no task at all, too
            rows = self._read("rows", low=low, high=high)
            walks: dict[int, list[tuple[str, str]]] = {}
            events = self._read("walks", low=low, high=high)
            orphans = [
                (seq, table) for table in CHILDREN for (seq,) in self._read(f"orphan_{table}", low=low, high=high)
            ]
            deleted = self._read("still_there", low=low, high=high)
        for seq, status, cause in events:
            walks.setdefault(seq, []).append((status, cause))
        for row in rows:
            wrong += [(row[0], f"task {row[1]} {line}") for line in _wrong_row(row)]
            wrong += [(row[0], f"task {row[1]} {line}") for line in _wrong_walk(row, walks.get(row[0], []))]
        wrong += [(seq, f"{table}: rows of a task that does not exist (number {seq})") for seq, table in orphans]
        wrong += [(seq, f"a task that does exist (number {seq}) stands among the deleted ones") for (seq,) in deleted]
        return high, len(rows), len(events), wrong

    def keys(self) -> None:
        owner = key = ""
        while rows := self._keys_after(owner, key):
            self._count("idempotency keys", len(rows))
            for row in rows:
                if row[3]:
                    self.find(f"idempotency key {row[1]!r} of {row[0]!r} names task {row[2]} of another owner")
            owner, key = rows[-1][:2]
        self._count("idempotency keys", 0)

    def _keys_after(self, owner: str, key: str) -> list[Any]:
        with self._read.snapshot(patient=True):
            return self._read("keys", owner=owner, key=key, n=CHUNK)

    def access(self) -> None:
        """The API keys, and the log of what was done with them."""
        with self._read.snapshot(patient=True):
            keys = self._read("api_keys")
        self._count("API keys", len(keys))
        for name, wrong in keys:
            if wrong is not None:
                self.find(f"API key {name!r} {wrong}")
        seq = -LAST
        while True:
            with self._read.snapshot(patient=True):
                rows = self._read("audit_log", seq=seq, n=CHUNK)
            self._count("acts", len(rows))
            for number, wrong in rows:
                if wrong:
                    self.find(f"act {number} of the audit log has times or numbers that cannot be")
            if len(rows) < CHUNK:
                return
            seq = rows[-1][0]

    def counters(self) -> None:
        try:
            with self._read.snapshot():
                real = {row[:4]: row[4] for row in self._read("real_counts")}
                kept = {row[:4]: row[4] for row in self._read("kept_counts")}
        except _Interrupted:
            self.report.skipped.append("counters: too many tasks to count in a second beside a server that writes")
            return
        self._count("counters", len(kept))
        for group in sorted(real.keys() | kept.keys()):
            if real.get(group, 0) != kept.get(group, 0):
                queue, kind, status, ready = group
                which = f"queue {queue!r}, kind {kind!r}, {status}{', ready' if ready else ''}"
                self.find(f"counter of {which}: says {kept.get(group, 0)}, there are {real.get(group, 0)}")

    def integrity(self) -> None:
        try:
            with self._read.snapshot():
                answers = [row[0] for row in self._read("integrity")]
        except _Interrupted:
            self.report.skipped.append("integrity: too large to check in a second beside a server that writes")
            return
        self._count("integrity check", 1)
        for answer in answers:
            if answer != "ok":
                self.find(f"integrity: {' '.join(answer.split())[:300]}")


def _wrong_row(row: Any) -> Iterator[str]:
    _, _, status, _, _, _, wrong, args, results, no_error, tags = row
    if wrong is not None:
        yield wrong
    if args != 1:
        yield f"has args in {args} places"
    if results != (status == "completed"):
        yield f"is {status} and has {results} results"
    if no_error:
        yield "is failed and has no error"
    if tags:
        yield "has tags that differ from their index"


def _wrong_walk(row: Any, walk: list[tuple[str, str]]) -> Iterator[str]:
    """`walk`: (status, cause) of each status event in order: a walk through the table that ends where the row is. A
    second end in one life, or a gap, is a step that the table does not have."""
    _, _, status, cause, version, fence = row[:6]
    if not walk:
        yield "has no status events"
        return
    if walk[0] != ("pending", "enqueue"):
        yield f"begins with {walk[0][1]} -> {walk[0][0]}"
    for (before, _), (after, why) in pairwise(walk):
        if (before, why, after) not in LEGAL:
            yield f"went from {before} by {why} to {after}"
    if walk[-1] != (status, cause):
        yield f"is {status} by {cause}, its last event says {walk[-1][0]} by {walk[-1][1]}"
    if len(walk) != version:
        yield f"has {len(walk)} status events for {version} transitions"
    if fence != sum(why == "claim" for _, why in walk):
        yield f"was claimed {fence} times, its events say {sum(why == 'claim' for _, why in walk)}"
