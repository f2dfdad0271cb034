"""SIGKILL right before each call that makes something lasting: a first start, a migration, a restore, a backup and a
stop. The next start works, the books are right, and nothing that was accepted is lost.

All places are many: QUART_APP_KILL_POINTS=all tries them, otherwise one of each kind of call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from quart_app.core.errors import StoreBroken
from quart_app.runtime import Runtime
from quart_app.settings import Settings
from quart_app.store.audit import audit
from quart_app.store.sqlite.backup import backup
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, until
from tests.acceptance.kill_points import (
    KILLED,
    Point,
    attach_killer,
    attach_watcher,
    killing,
    points_of,
    some,
    watching,
)
from tests.store import earlier

pytestmark = pytest.mark.once

ALL = os.environ.get("QUART_APP_KILL_POINTS") == "all"


def chosen(points: Sequence[Point]) -> Sequence[Point]:
    print(f"{len(points)} places: {', '.join(map(str, points))}")
    return points if ALL else some(points)


def reset(server: Server, start: Path) -> None:
    shutil.rmtree(server.data, ignore_errors=True)
    shutil.copytree(start, server.data)


def run(server: Server, prefix: list[str], *arguments: str) -> int:
    server.prefix = prefix
    code = server.run("-m", "quart_app", *arguments).wait_exit(60)
    server.prefix = []
    return code


def sweep(server: Server, start: Path, arguments: Sequence[str], check: Callable[[Point], None]) -> None:
    """Run the command from the same beginning, with a kill at one place each time."""
    trace = server.folder / "trace"
    reset(server, start)
    assert run(server, watching(trace), *arguments) == 0
    points = points_of(trace, server.pid, threads=arguments[0] == "migrate")
    assert {"fsync", "unlink"} <= {point.call for point in points}
    for point in chosen(points):
        reset(server, start)
        assert run(server, killing(point), *arguments) in KILLED, f"it outlived {point}"
        check(point)


def next_start(server: Server) -> None:
    """What the next server does before it serves; in the long form by a process of its own."""
    if ALL:
        assert server.command("migrate").returncode == 0
    else:
        asyncio.run(Runtime(Settings(data_dir=str(server.data)), spawn=lambda *_: None).migrate())
    assert audit(server.database).findings == []


def serve_and_stop(server: Server) -> None:
    """The next start: it becomes ready, runs a task, stops, and the books are right."""
    server.start().wait_ready()
    assert server.ended(server.post("quick", {"x": "new"}))["result"] == "new"
    assert server.sigterm() == 0
    assert audit(server.database).findings == []


def is_ready(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return server.client.get("/ready").status_code == 200
    return False


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """What the data folder holds before each kill."""
    folder = tmp_path / "start"
    folder.mkdir()
    return folder


def test_a_first_start_may_be_killed_anywhere(server: Server, start: Path) -> None:
    trace = server.folder / "trace"

    def live(prefix: list[str]) -> int:
        """A first start and, if it comes to that, a stop."""
        reset(server, start)
        server.prefix = prefix
        server.start()
        until(lambda: not server.running or is_ready(server), "the first start")
        if server.running:
            server.signal(signal.SIGTERM)
        server.prefix = []
        return server.wait_exit()

    assert live(watching(trace)) == 0
    points = points_of(trace, server.pid, threads=True)
    assert {"fsync", "fdatasync", "unlink", "ftruncate"} <= {point.call for point in points}
    for point in chosen(points):
        code = live([*killing(point)[:1], "-D", *killing(point)[1:]])
        assert code in (*KILLED, 0), f"{code} at {point}: {server.stderr}"
        with contextlib.suppress(StoreBroken):  # there is nothing yet
            backup(server.database, server.folder / "copy", force=True)
        if ALL:
            serve_and_stop(server)
        else:
            next_start(server)
    serve_and_stop(server)


def test_a_migration_from_the_oldest_schema_may_be_killed_anywhere(server: Server, start: Path) -> None:
    earlier.make(start / "tasks.db")
    before = earlier.contents(start / "tasks.db")

    def check(point: Point) -> None:
        next_start(server)
        assert earlier.lost(before, earlier.contents(server.database)) == [], point

    sweep(server, start, ["migrate"], check)
    server.start().wait_ready()
    for name in earlier.UNFINISHED:
        assert server.ended(earlier.task_id(name))["status"] == "completed", name
    assert server.sigterm() == 0


@pytest.mark.parametrize("old", ["sound", "killed"])
def test_a_restore_may_be_killed_anywhere(server: Server, start: Path, old: str) -> None:
    server.start().wait_ready()
    kept = [server.post("quick", {"x": number}, delay=86400) for number in range(3)]
    copy = server.folder / "copy.db"
    assert server.command("backup", str(copy)).returncode == 0
    later = server.post("quick", {"x": "later"}, delay=86400)
    server.kill9() if old == "killed" else server.sigterm()
    start.rmdir()
    shutil.copytree(server.data, start, ignore=shutil.ignore_patterns("*.sock"))

    def check(point: Point) -> None:
        next_start(server)
        found = {task_id for (task_id,) in server.rows("SELECT id FROM tasks")}
        assert found in ({*kept}, {*kept, later}), point
        aside = [path for path in server.data.glob("tasks.db.before-*") if not path.name.endswith(("-wal", "-shm"))]
        if later not in found:
            assert [audit(path).checked["tasks"] for path in aside] == [4], point
        assert list(server.data.glob(".*")) == [], point

    sweep(server, start, ["restore", str(copy)], check)
    serve_and_stop(server)


def test_a_backup_may_be_killed_anywhere(server: Server, start: Path) -> None:
    earlier.make(start / "tasks.db")
    asyncio.run(Runtime(Settings(data_dir=str(start)), spawn=lambda *_: None).migrate())
    before = earlier.contents(start / "tasks.db")
    copy = server.data / "copy.db"

    def check(point: Point) -> None:
        for path in (server.database, copy):
            if path is server.database or path.exists():
                assert earlier.lost(before, earlier.contents(path)) == [], point
                assert audit(path).findings == [], point

    sweep(server, start, ["backup", str(copy)], check)


def test_a_stop_with_running_tasks_may_be_killed_anywhere(make_server: MakeServer, journal: Path, flag: Path) -> None:
    server = make_server(drain_seconds=0)
    trace = server.folder / "trace"

    def begin() -> list[str]:
        """A server with tasks that run, and do not end by themselves."""
        flag.unlink(missing_ok=True)
        shutil.rmtree(server.data, ignore_errors=True)
        server.start().wait_ready()
        tasks = [server.post(kind, {"path": str(journal), "flag": str(flag)}) for kind in ("sleeper", "gated") * 2]
        until(lambda: all(server.task(task)["status"] == "processing" for task in tasks), "the tasks to run")
        return [*tasks, server.post("quick", {"x": 1}, delay=1)]

    def end(tasks: list[str]) -> None:
        """The next start ends what the stop left."""
        assert audit(server.database).findings == []
        flag.touch()
        server.start().wait_ready()
        assert {server.ended(task)["status"] for task in tasks} == {"completed"}
        assert server.sigterm() == 0
        assert audit(server.database).findings == []

    tasks = begin()
    watcher = attach_watcher(server, trace)
    assert server.sigterm(60) == 0
    watcher.communicate(timeout=30)
    points = points_of(trace, server.pid, threads=True)
    end(tasks)
    for point in chosen(points):
        tasks = begin()
        killer = attach_killer(server, point)
        assert server.sigterm(60) in (0, *KILLED), f"{server.stderr} at {point}"
        killer.communicate(timeout=30)
        end(tasks)
