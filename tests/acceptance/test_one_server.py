"""One database, one server: whoever comes second is told who is there, and leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, Server, alive, children, lines_of, until
from tests.acceptance.test_exit_codes import one_line


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])
def test_a_second_server_is_75_and_names_the_first(make_server: MakeServer, command: Command) -> None:
    first, second = make_server(), make_server()
    first.start().wait_ready()
    assert second.start(command).wait_exit() == 75
    (line,) = [line for line in second.stderr.splitlines() if line and not line.startswith("INFO:")]
    assert line.startswith("quart_app: ")
    assert str(first.pid) in line
    assert "tasks.db" in line
    assert first.ended(first.post("quick"))["status"] == "completed"


def test_migrate_beside_a_server_is_75_too(make_server: MakeServer) -> None:
    first, second = make_server(), make_server()
    first.start().wait_ready()
    assert second.run("-m", "quart_app", "migrate").wait_exit() == 75
    assert str(first.pid) in second.stderr


def test_of_five_servers_started_together_one_wins(make_server: MakeServer) -> None:
    servers = [make_server() for _ in range(5)]
    for server in servers:
        server.start()
    until(lambda: sum(not server.running for server in servers) == 4, "the end of four")
    (winner,) = [server for server in servers if server.running]
    winner.wait_ready()
    for server in servers:
        if server is not winner:
            assert server.wait_exit() == 75
            assert server.stderr.count("\n") == 1
            assert str(winner.pid) in server.stderr
    assert winner.ended(winner.post("quick"))["attempt"] == 1
    assert winner.sigterm() == 0
    # And the next one finds the way free.
    servers[0].start().wait_ready()


def test_a_killed_servers_lock_is_free_at_once(make_server: MakeServer) -> None:
    first, second = make_server(), make_server()
    first.start().wait_ready()
    first.kill9()
    second.start().wait_ready()


@pytest.mark.parametrize(("command", "option"), [("hypercorn", "-w"), ("uvicorn", "--workers")])
def test_more_worker_processes_are_one_clear_line(server: Server, command: Command, option: str) -> None:
    """Neither server restarts the loser for ever, and no worker is left behind."""
    server.start(command, option, "2")
    workers: set[int] = set()

    def ended() -> bool:
        if server.running:
            workers.update(children(server.pid))
        return not server.running

    until(ended, "the end of the server")
    assert server.wait_exit() == 0, "the server's own word; docs/how-to/servers.md says so"
    lines = [line for line in server.stderr.splitlines() if line.startswith("quart_app: ")]
    assert len(lines) == 1, server.stderr
    assert "one worker" in lines[0]
    assert "Traceback" not in server.stderr
    assert workers
    until(lambda: not any(map(alive, workers)), "the end of the workers")
    server.start().wait_ready()


def test_no_task_runs_twice_when_a_second_server_comes(make_server: MakeServer, journal: Path, flag: Path) -> None:
    first, second = make_server(), make_server()
    first.start().wait_ready()
    task_id = first.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    assert second.start().wait_exit() == 75
    flag.touch()
    assert first.ended(task_id)["attempt"] == 1
    assert lines_of(journal) == [["sleeper", "1"]]


def test_a_link_to_a_served_database_is_the_same_database(make_server: MakeServer, tmp_path: Path) -> None:
    first, second = make_server(), make_server(data_dir=tmp_path / "other")
    first.start().wait_ready()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tasks.db").symlink_to(first.database)
    assert second.start().wait_exit() == 75
    assert str(first.pid) in one_line(second)
    first.kill9()
    # It is the database with all that the killed one committed.
    second.start().wait_ready()
    assert not (tmp_path / "other" / "tasks.db.lock").exists()
    assert (tmp_path / "other" / "tasks.db").is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: only the lock file keeps others out here")
def test_without_the_lock_file_a_second_server_is_75_and_the_first_puts_it_back(make_server: MakeServer) -> None:
    first, second = make_server(), make_server()
    first.start().wait_ready()
    lock = first.data / "tasks.db.lock"
    lock.unlink()
    assert second.start().wait_exit() == 75
    assert "already serves" in one_line(second)
    until(lambda: lock.exists() and str(first.pid) in lock.read_text(), "the lock file of the first")
    assert second.start().wait_exit() == 75
    assert str(first.pid) in one_line(second)
    assert first.ended(first.post("quick"))["attempt"] == 1
    assert first.sigterm() == 0


def test_a_pipe_in_place_of_the_lock_file_is_78_and_one_line(server: Server) -> None:
    server.data.mkdir()
    os.mkfifo(server.data / "tasks.db.lock")
    assert server.start().wait_exit() == 78
    assert "tasks.db.lock is not a plain file" in one_line(server)
