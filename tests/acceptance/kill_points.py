"""The places where a process changes what is on the disk, and its death right before one of them.

strace counts the calls of each thread apart. So a place is named by its call, the file that it is about where more than
one thread is at work, and its number.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.acceptance.harness import Server, until
from tests.acceptance.power import need_strace

CALLS: Final = ("fsync", "fdatasync", "ftruncate", "rename", "link", "unlink")
_LINE: Final = re.compile(rf"^(\d+) +({'|'.join(CALLS)})\((.*)")
_PATH: Final = re.compile(r'^\d+<([^>]*)>|^"([^"]*)"')


class Point(NamedTuple):
    """Before the `number`-th `call`, about `path` when that is not empty."""

    call: str
    path: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number}{' of ' + Path(self.path).name if self.path else ''}"


def watching(trace: Path) -> list[str]:
    """strace that writes down the calls and is no parent of the process."""
    return [need_strace(), "-D", "-f", "-y", "-e", f"trace={','.join(CALLS)}", "-o", str(trace)]


def killing(point: Point) -> list[str]:
    """strace that kills the process before the call."""
    inject = ["-e", f"trace={point.call}", "-e", f"inject={point.call}:signal=SIGKILL:when={point.number}"]
    return [need_strace(), "-f", *(["-P", point.path] if point.path else []), *inject, "-o", "/dev/null"]


def points_of(trace: Path, pid: int, threads: bool) -> list[Point]:
    """All places of the process, which has ended. `threads`: more than one of them changes files."""
    end = re.compile(rf"^{pid} +\+\+\+ ", re.MULTILINE)
    until(lambda: end.search(trace.read_text()[-4000:]), "the end of the trace")
    seen: Counter[tuple[str, str, str]] = Counter()
    points: dict[Point, None] = {}  # in their order, each once: of two threads the first to get there is killed
    for line in trace.read_text().splitlines():
        if (found := _LINE.match(line)) is not None:
            thread, call, arguments = found.groups()
            named = _PATH.match(arguments)
            path = (named[1] or named[2]) if named is not None and threads else ""
            seen[thread, call, path] += 1
            points[Point(call, path, seen[thread, call, path])] = None
    return list(points)


def some(points: Sequence[Point]) -> list[Point]:
    """One of each kind of call: the one in the middle."""
    by_call = {call: [point for point in points if point.call == call] for call in CALLS}
    return [found[len(found) // 2] for found in by_call.values() if found]


def attach_killer(server: Server, point: Point) -> subprocess.Popen[bytes]:
    """Count from now on, in a process that runs."""
    strace = subprocess.Popen([*killing(point), "-p", str(server.pid)], stderr=subprocess.PIPE)
    assert strace.stderr is not None
    assert b"attached" in strace.stderr.readline()
    return strace


def attach_watcher(server: Server, trace: Path) -> subprocess.Popen[bytes]:
    command = [need_strace(), "-f", "-y", "-e", f"trace={','.join(CALLS)}", "-o", str(trace), "-p", str(server.pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert strace.stderr is not None
    assert b"attached" in strace.stderr.readline()
    return strace


KILLED: Final = (-signal.SIGKILL, 128 + signal.SIGKILL)
