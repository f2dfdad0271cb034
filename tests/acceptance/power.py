"""Power cuts, simulated: the system calls of a real server in their order, and what a disk that honours fsync must
hold when the power goes between two of them.

Sure is what was written before the last finished fsync of its file. Of what was written later, any 512-byte sector may
have reached the disk or not, in any order. Names of files are sure once their folder was synced; of the later changes
a journalling file system keeps the first so many.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from quart_app.store import migrate
from tests.acceptance.harness import Server, until
from tests.store.soundness import assert_sound

SECTOR = 512
CALLS = "pwrite64,write,sendto,sendmsg,fsync,fdatasync,ftruncate,openat,unlink"
FILES = ("tasks.db", "tasks.db-wal", "tasks.db-journal")  # -shm holds nothing that a start needs

_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")
_ANSWER = re.compile(rb'"task_id":"([0-9a-f-]{36})"[^{}]*?"status":"([a-z]+)"')


class Event(NamedTuple):
    """`do` is write, truncate, sync, create, remove or send; `at` an offset or a size in bytes."""

    do: str
    path: str
    at: int = 0
    data: bytes = b""


def need_strace() -> str:
    """The path of strace. Skips the test where there is none, or where it may not trace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("STRACE IS NOT INSTALLED: no power cut is simulated")
    probe = [strace, "-f", "--seccomp-bpf", "-e", "trace=write", "-o", "/dev/null", sys.executable, "-c", ""]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("STRACE MAY NOT TRACE HERE: no power cut is simulated")
    return strace


def start_traced(server: Server, trace: Path) -> None:
    """Start the server as the child that the harness signals; strace (-D) watches from aside."""
    options = ["-D", "-f", "--seccomp-bpf", "-yy", "-xx", "-s", "2000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    server.prefix = [need_strace(), *options]
    server.start().wait_ready()


def events_of(server: Server, trace: Path) -> list[Event]:
    """What the server, which has ended, did to its database and told its clients, in order."""
    end = re.compile(rf"^{server.pid} +\+\+\+ ", re.MULTILINE)  # strace pads the number
    until(lambda: end.search(trace.read_text()[-4000:]), "the end of the trace")
    with trace.open() as lines:
        return [event for line in _whole(lines) if (event := _parse(line)) is not None]


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Calls that another thread interrupted, put together: what is written counts from the beginning of its call, what
    is synced from its end. Both ways the server is trusted with less."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, call = line.rstrip("\n").partition(" ")
        call = call.lstrip()
        if call.endswith(_UNFINISHED):
            call = call.removesuffix(_UNFINISHED)
            if call.startswith(("fsync", "fdatasync")):
                begun[thread] = call
            else:
                yield call
        elif _RESUMED.match(call):
            if (first := begun.pop(thread, None)) is not None:
                yield first + _RESUMED.sub("", call)
        elif " = -1 E" not in call:
            yield call


def _parse(line: str) -> Event | None:
    do, _, rest = line.partition("(")
    if do in ("sendto", "sendmsg"):
        return Event("send", "", data=_bytes(_TEXT, rest)) if "<TCP" in rest[:20] else None
    if do in ("openat", "unlink"):
        if do == "openat" and "O_CREAT" not in rest:
            return None
        return Event("create" if do == "openat" else "remove", _bytes(_TEXT, rest).decode())
    path = _bytes(_FILE, rest).decode() if _FILE.match(rest, rest.find("<")) else ""
    match do:
        case "fsync" | "fdatasync" if rest.endswith("= 0"):
            return Event("sync", path)
        case "ftruncate":
            return Event("truncate", path, int(re.search(r">, (\d+)", rest)[1]))  # type: ignore[index]
        case "pwrite64":
            return Event("write", path, int(re.search(r'", \d+, (\d+)', rest)[1]), _bytes(_TEXT, rest))  # type: ignore[index]
        case "write":
            return Event("write", path, 0, _bytes(_TEXT, rest))
    return None


def _bytes(pattern: re.Pattern[str], text: str) -> bytes:
    found = pattern.search(text)
    return bytes.fromhex(found[1].replace("\\x", "")) if found is not None else b""


class Disk:
    """One folder with the database's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._paths = {f"{folder}/{name}": name for name in FILES}
        self._made = 0
        self._now: dict[str, int] = {}  # name -> number of the file it stands for
        self._sure_names: dict[str, int] = {}
        self._later_names: list[dict[str, int]] = []  # after each change since the folder was synced
        self._sure: dict[int, bytearray] = {}
        self._later: dict[int, list[Event]] = {}

    def apply(self, event: Event) -> bool:
        """False when it does not concern the database."""
        if event.do == "sync" and event.path == self._folder:
            self._sure_names, self._later_names = dict(self._now), []
            return True
        name = self._paths.get(event.path)
        if name is None:
            return False
        if event.do == "remove":
            del self._now[name]
            self._later_names.append(dict(self._now))
        elif event.do == "create":
            if name in self._now:
                return False
            self._made += 1
            self._now[name] = self._made
            self._sure[self._made], self._later[self._made] = bytearray(), []
            self._later_names.append(dict(self._now))
        elif event.do == "sync":
            file = self._now[name]
            for one in self._later[file]:
                _write(self._sure[file], one)
            self._later[file] = []
        else:
            self._later[self._now[name]].append(event)
        return True

    def cut(self, random: Random, folder: Path) -> None:
        """Write into `folder` what the disk might hold when the power comes back."""
        folder.mkdir(parents=True)
        for name, file in random.choice([self._sure_names, *self._later_names]).items():
            held = bytearray(self._sure[file])
            share = random.choice((0.0, 0.5, 0.9, 1.0))
            for event in self._later[file]:
                for piece in _survivors(event, share, random):
                    _write(held, piece)
            (folder / name).write_bytes(held)


def _survivors(event: Event, share: float, random: Random) -> Iterator[Event]:
    """The whole of a write, or nothing of it, or some of its sectors."""
    if random.random() < share:
        yield event
    elif event.do == "write" and random.random() < 0.5:
        first = event.at % SECTOR
        cuts = [0, *range(SECTOR - first, len(event.data), SECTOR), len(event.data)]
        for start, end in pairwise(cuts):
            if random.random() < 0.5:
                yield event._replace(at=event.at + start, data=event.data[start:end])


def _write(held: bytearray, event: Event) -> None:
    if event.do == "truncate":
        del held[event.at :]
        held.extend(bytes(event.at - len(held)))
    else:
        held.extend(bytes(max(event.at - len(held), 0)))
        held[event.at : event.at + len(event.data)] = event.data


class Promises:
    """What people have been told, and what handlers have done: of all that, nothing may be forgotten."""

    def __init__(self, journal: Path) -> None:
        self._journal = str(journal)
        self.statuses: dict[str, str] = {}
        self.steps: dict[str, int] = {}  # id -> the step that had begun: those before it are on record

    def hear(self, event: Event) -> None:
        if event.do == "send":
            for task, status in _ANSWER.findall(event.data):
                self.statuses[task.decode()] = status.decode()
        elif event.do == "write" and event.path == self._journal:
            task_id, _attempt, number = event.data.decode().split()
            self.steps[task_id] = int(number)

    def broken_by(self, folder: Path) -> list[str]:
        """What the database does not know any more when SQLite has recovered it. Fails when it is not sound. A copy is
        looked at: the recovery changes it."""
        if not (folder / "tasks.db").exists():
            return [*self.statuses, *self.steps]
        copy = Path(shutil.copytree(folder, folder / "copy"))
        with contextlib.closing(sqlite3.connect(copy / "tasks.db")) as connection:

            def rows(query: str) -> list[tuple[str, ...]]:
                return connection.execute(query).fetchall()

            assert rows("PRAGMA integrity_check") == [("ok",)]
            if rows("PRAGMA user_version") != [(migrate.find("sqlite")[-1].version,)]:
                return [*self.statuses, *self.steps]  # the power went before the whole schema was there
            assert_sound(rows)
            held = dict(rows("SELECT id, status FROM tasks"))
            begun = {task for (task,) in rows("SELECT id FROM tasks WHERE fence > 0")}
            recorded = dict(rows("SELECT t.id, count(*) FROM tasks t JOIN steps s ON s.task = t.seq GROUP BY t.id"))
        lost = [f"{task}: answered {status}" for task, status in self.statuses.items() if task not in held]
        lost += [
            f"{task}: answered completed, is {held[task]}"
            for task, status in self.statuses.items()
            if status == "completed" and held.get(task, status) != status
        ]
        lost += [f"{task}: ran, and is not on record as started" for task in self.steps.keys() - begun]
        lost += [
            f"{task}: began step {number}, has {recorded.get(task, 0)} steps"
            for task, number in self.steps.items()
            if int(recorded.get(task, 0)) < number - 1
        ]
        return lost
