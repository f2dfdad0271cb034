"""Where a process stands: a working directory that a task changes, standard descriptors that are closed, and log files
that are none."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, Server, until
from tests.acceptance.test_exit_codes import one_line

KINDS = Path(__file__).with_name("saboteurs.py")
CLOSED = {"0": "0<&-", "1": "1>&-", "2": "2>&-", "all": "0<&- 1>&- 2>&-"}


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])
def test_a_task_may_change_the_working_directory(make_server: MakeServer, tmp_path: Path, command: Command) -> None:
    """With relative paths in the settings, as they are by default."""
    server = make_server(data_dir="data", tasks=os.path.relpath(KINDS, tmp_path), simulated_add_seconds=2)
    server.start(command).wait_ready()
    assert server.ended(server.post("move"))["result"] == "/"
    # Longer than it takes to notice a database that is gone.
    assert server.ended(server.post("add", {"x": 1, "y": 2}))["result"] == 3
    report = server.ended(server.post("generate-report", {"report_type": "tasks", "format": "csv"}))["result"]
    assert server.client.get(report["file_url"]).text.startswith("task_id,")
    assert server.ended(server.post("child-here"))["status"] == "completed"
    assert server.command("tasks", "list").stdout.count("completed") == 4
    assert server.sigterm() == 0
    assert sorted(path.name for path in (server.data / "reports").iterdir()) == [Path(report["file_url"]).name]
    assert not (server.data / "control.sock").exists()


@pytest.mark.parametrize(("command", "which"), [*(("serve", which) for which in CLOSED), ("hypercorn", "all")])
def test_a_server_starts_with_closed_standard_descriptors(
    make_server: MakeServer, command: Command, which: str
) -> None:
    server = make_server(tasks=KINDS)
    server.prefix = ["/bin/sh", "-c", f'exec "$@" {CLOSED[which]}', "sh"]
    server.start(command).wait_ready()
    if command == "serve":
        for number in range(3) if which == "all" else [int(which)]:
            assert Path(f"/proc/{server.pid}/fd/{number}").readlink() == Path("/dev/null")
    assert server.ended(server.post("print"))["status"] == "completed"
    assert server.sigterm() == 0
    server.prefix = []
    audited = server.command("audit")
    assert audited.returncode == 0, audited.stdout


def test_commands_work_with_closed_standard_descriptors(server: Server) -> None:
    server.prefix = ["/bin/sh", "-c", f'exec "$@" {CLOSED["all"]}', "sh"]
    assert server.run("-m", "quart_app", "migrate").wait_exit() == 0
    assert server.run("-m", "quart_app", "tasks", "list").wait_exit() == 0
    assert server.run("-m", "quart_app", "tasks", "create", "quick").wait_exit() == 0
    assert server.rows("SELECT kind FROM tasks") == [("quick",)]


@pytest.mark.parametrize("command", ["serve", "hypercorn"])
@pytest.mark.parametrize("what", ["pipe", "socket", "folder"])
def test_what_is_no_log_file_is_refused_with_a_line(make_server: MakeServer, command: Command, what: str) -> None:
    server = make_server(log_file="log")
    path = server.folder / "log"
    with socket.socket(socket.AF_UNIX) as unix:
        match what:
            case "pipe":
                os.mkfifo(path)
            case "socket":
                unix.bind(str(path))
            case "folder":
                path.mkdir()
        assert server.start(command).wait_exit() == 78
    assert "QUART_APP_LOG_FILE: cannot write" in one_line(server)


def test_a_pipe_that_somebody_reads_is_a_log_file(make_server: MakeServer) -> None:
    server = make_server(log_file="log")
    path = server.folder / "log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        server.start().wait_ready()
        found = bytearray()

        def says_where_it_listens() -> bool:
            with contextlib.suppress(BlockingIOError):  # nothing has been written yet
                found.extend(os.read(reader, 65536))
            return str(server.port).encode() in found

        until(says_where_it_listens, "the line in the pipe")
    finally:
        os.close(reader)
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.sigterm() == 0
