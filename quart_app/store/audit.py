"""Reads a whole database and reports what breaks the rules of the schema and of core/lifecycle.py, independently of
both. It changes nothing and works beside a running server: each range of tasks is read in one short snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from quart_app.core.errors import ConfigError, StoreBroken
from quart_app.core.lifecycle import CRASH, TRANSITIONS
from quart_app.store import migrate
from quart_app.store.audit_reader import Interrupted, Reader, opened
from quart_app.store.audit_statistics import audit_statistics

CHUNK: Final = 1000  # tasks in one snapshot
MAX_FINDINGS: Final = 1000
LAST: Final = 2**63 - 1
CHILDREN: Final = ("args", "results", "progress", "steps", "errors", "tags", "events", "crash_groups", "signals")

LEGAL: Final = {(start, cause, end) for cause, (starts, end) in TRANSITIONS.items() for start in starts} | {
    (start, "crash", end) for start in CRASH[0] for end in CRASH[1]
}


class Report(msgspec.Struct):
    """`checked`: what was checked and how many of each; `findings` and `skipped`: one line each."""

    checked: dict[str, int] = {}
    findings: list[str] = []
    skipped: list[str] = []


def audit(path: Path) -> Report:
    """Audit the database at `path`. Raises StoreBroken when it cannot be read at all, ConfigError when it is not a
    database of quart_app or not of this version."""
    migrations = migrate.find("sqlite")
    if migrate.check(path, migrations, only_read=True):
        raise StoreBroken(f"there is no database at {path}")
    with opened(path) as reader:
        if reader.version < max(one.version for one in migrations):
            raise ConfigError(f"{path} has an older schema; `python -m quart_app migrate` brings it up to date")
        auditor = _Auditor(reader)
        try:
            auditor.tasks()
            auditor.keys()
            auditor.access()
            auditor.families()
            auditor.unique_keys()
            auditor.lanes()
            auditor.failures()
            auditor.counters()
            audit_statistics(reader, auditor.find, auditor._count)
            auditor.integrity()
        except sqlite3.DatabaseError as error:
            auditor.find(
                f"the database cannot be read: {error}; `python -m quart_app restore FILE` puts a backup there"
            )
        return auditor.report


class _Auditor:
    def __init__(self, reader: Reader) -> None:
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
        """Check the rows, their status events and child rows, range by range in the order of creation."""
        low, size = -LAST, CHUNK
        while True:
            try:
                high, tasks, events, suspects = self._range(low, size)
            except Interrupted:
                size = max(size // 4, 1)
                continue
            self._count("tasks", tasks)
            self._count("status events", events)
            for low_seq in sorted({seq for seq, _ in suspects}):
                # A task that seemed wrong is read again, alone, before it is a finding.
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
                high = last if count == size else LAST  # the last range includes child rows of no task at all
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
        """Check the API keys and the audit log."""
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

    def families(self) -> None:
        """The counts of children, and what suspended tasks wait for."""
        try:
            with self._read.snapshot():
                families = self._read("families")
                waiting = self._read("waits")
        except Interrupted:
            self.report.skipped.append("families: too many to count in a second beside a server that writes")
            return
        self._count("families", len(families))
        for parent, wrong in families:
            if wrong is not None:
                self.find(f"the family of task number {parent} {wrong}")
        for task_id, wrong in waiting:
            self.find(f"task {task_id} {wrong}")

    def lanes(self) -> None:
        """What is counted of lanes, of the limits that hold them back and of owners."""
        try:
            with self._read.snapshot():
                kept = {what: self._read(f"{what}s") for what in ("lane", "gate", "share")}
                unlaned = self._read("unlaned")
        except Interrupted:
            self.report.skipped.append("lanes: too many to count in a second beside a server that writes")
            return
        for what, rows in kept.items():
            self._count(f"{what}s", len(rows))
            for name, wrong in rows:
                if wrong is not None:
                    self.find(f"{what} {name} {wrong}")
        for task_id, wrong in unlaned:
            self.find(f"task {task_id} {wrong}")

    def failures(self) -> None:
        """The groups of failed tasks."""
        try:
            with self._read.snapshot():
                failures = self._read("failures")
                real = {row[:2]: row[2:] for row in self._read("real_groups")}
                kept = {row[:2]: row[2:] for row in self._read("kept_groups")}
        except Interrupted:
            self.report.skipped.append("failures: too many to group in a second beside a server that writes")
            return
        self._count("failures", len(failures))
        for seq, wrong in failures:
            if wrong is not None:
                self.find(f"task number {seq} {wrong}")
        for group in sorted(real.keys() | kept.keys()):
            if real.get(group) != kept.get(group):
                whose = "of everybody" if group[0] == "*" else f"of {group[0][1:]!r}"
                self.find(f"errors {group[1]} {whose}: says {kept.get(group)}, number and last are {real.get(group)}")

    def unique_keys(self) -> None:
        """Each held unique key belongs to a task that has not ended, and the other way round."""
        try:
            with self._read.snapshot():
                held = self._read("held_keys")
                wrong = self._read("keyless")
        except Interrupted:
            self.report.skipped.append("unique keys: too many to check in a second beside a server that writes")
            return
        self._count("unique keys", len(held))
        for key, text in [*held, *wrong]:
            if text is not None:
                self.find(f"the unique key {key!r} {text}")

    def counters(self) -> None:
        try:
            with self._read.snapshot():
                real = {row[:4]: row[4] for row in self._read("real_counts")}
                kept = {row[:4]: row[4] for row in self._read("kept_counts")}
        except Interrupted:
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
        except Interrupted:
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
    """`walk`: (status, cause) of each status event in order. Each step must be in the table of transitions, and the
    last one must match the row. A second end without a rerun, or a gap, is a step that is not in the table."""
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
