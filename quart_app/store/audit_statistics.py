"""Audits the figures over time: they add up, and they are of events that exist."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

CHUNK: Final = 1000  # buckets in one snapshot


class Reader(Protocol):
    """Runs the statements of audit_statistics.sql; the reads inside of a snapshot see one moment."""

    def snapshot(self, patient: bool = False) -> AbstractContextManager[None]: ...

    def __call__(self, statement: str, **params: Any) -> list[Any]: ...


def audit_statistics(read: Reader, find: Callable[[str], None], count: Callable[[str, int], None]) -> None:
    """`find` gets a line for each finding, `count` what was checked and how many."""
    with read.snapshot(patient=True):
        marks = read("stats_mark")
        gone = read("stats_gone")
    if len(marks) != 1 or marks[0][0] > (marks[0][1] or 0):
        find("the statistics have counted events that do not exist")
    for task, wrong in gone:
        if wrong is not None:
            find(f"the statistics wait for events of a deleted task (number {task}) {wrong}")
    rows: list[Any] = [(0, 0, None)]
    while rows:
        width, start, _ = rows[-1]
        with read.snapshot(patient=True):
            rows = read("stats", width=width, start=start, n=CHUNK)
        count("buckets of statistics", len(rows))
        for width, start, wrong in rows:
            if wrong is not None:
                find(f"the bucket of the statistics at {start} of {width // 1000} s {wrong}")
