"""SIGTERM under the three servers: exit code 0 whatever the tasks do, and what is unfinished resumes, uncharged."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, Server, alive, lines_of, until

every_command = pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])


@contextmanager
def open_connection(server: Server) -> Iterator[socket.socket]:
    """A kept-alive connection on which one request was answered and no other follows."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        assert _ask(server, connection, "GET /health").startswith("HTTP/1.1 200")
        yield connection


@every_command
def test_an_idle_server_with_an_open_connection_stops_with_0(server: Server, command: Command) -> None:
    server.start(command).wait_ready()
    with open_connection(server):
        assert server.sigterm() == 0
    assert "Traceback" not in server.stderr + server.log


@every_command
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_is_a_stop_too(server: Server, command: Command, number: signal.Signals) -> None:
    server.start(command).wait_ready()
    server.signal(number)
    assert server.wait_exit(10) == 0
    assert "Traceback" not in server.stderr + server.log


@every_command
def test_unfinished_tasks_of_every_kind_are_released_and_go_on_uncharged(
    server: Server, journal: Path, flag: Path, command: Command
) -> None:
    kinds = ["sleeper", "stubborn", "thread", "child"]
    server.start(command).wait_ready()
    ids = {kind: server.post(kind, {"path": str(journal), "flag": str(flag)}) for kind in kinds}
    until(lambda: len(lines_of(journal)) == len(kinds), "the start of every task")
    ((_, _, pid),) = [words for words in lines_of(journal) if words[0] == "child"]
    with open_connection(server):
        assert server.sigterm() == 0
    until(lambda: not alive(int(pid)), "the end of the child process", deadline=5)
    left = server.rows("SELECT kind, status, cause, attempt, crashes FROM tasks ORDER BY seq")
    assert left == [(kind, "pending", "release", 0, 0) for kind in kinds]

    server.start(command).wait_ready()
    until(lambda: len(lines_of(journal)) == 2 * len(kinds), "the second start of every task")
    flag.touch()
    for kind, task_id in ids.items():
        done = server.ended(task_id)
        assert (kind, done["status"], done["attempt"], done["crashes"]) == (kind, "completed", 1, 0)
    assert sorted(lines_of(journal)[:4])[1:] == sorted(lines_of(journal)[4:])[1:]  # all but the pid of the child


@every_command
def test_a_task_that_blocks_the_loop_cannot_keep_the_server(
    server: Server, journal: Path, flag: Path, command: Command
) -> None:
    server.start(command).wait_ready()
    task_id = server.post("blocks", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    assert server.sigterm() == 0
    assert "unfinished tasks resume at the next start" in server.stderr

    flag.touch()
    server.start().wait_ready()
    done = server.ended(task_id)
    assert (done["status"], done["attempt"]) == ("completed", 1)


def test_a_handler_that_blocks_the_loop_is_named_in_the_log(server: Server, journal: Path, flag: Path) -> None:
    server.start().wait_ready()
    server.post("blocks", {"path": str(journal), "flag": str(flag)})
    until(lambda: "time.sleep(3600)" in server.log, "the place in the log")
    assert "hostile.py" in server.log
    assert server.sigterm() == 0


@every_command
def test_a_task_that_ends_within_the_drain_time_is_completed_and_may_make_others(
    make_server: MakeServer, journal: Path, flag: Path, command: Command
) -> None:
    server = make_server(drain_seconds=20)
    server.start(command).wait_ready()
    args = {"path": str(journal), "flag": str(flag)}
    server.post("sleeper", args)
    server.post("parent", args)
    until(lambda: len(lines_of(journal)) == 2, "the start of the tasks")
    with open_connection(server):
        server.signal(signal.SIGTERM)
        until(lambda: _is_draining(server), "the begin of the drain")
        flag.touch()
        assert server.wait_exit(15) == 0
    left = server.rows("SELECT kind, status FROM tasks ORDER BY seq")
    assert left == [("sleeper", "completed"), ("parent", "completed"), ("quick", "pending")]


@every_command
def test_a_second_sigterm_ends_it_at_once(make_server: MakeServer, journal: Path, flag: Path, command: Command) -> None:
    server = make_server(drain_seconds=60)
    server.start(command).wait_ready()
    task_id = server.post("stubborn", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    with open_connection(server):
        server.signal(signal.SIGTERM)
        until(lambda: _is_draining(server), "the begin of the drain")
        assert server.running
        assert server.sigterm(5) == 0  # far from the 60 s

    flag.touch()
    server.start().wait_ready()
    assert server.ended(task_id)["attempt"] == 1


@every_command
def test_a_draining_server_takes_no_tasks(make_server: MakeServer, journal: Path, flag: Path, command: Command) -> None:
    server = make_server(drain_seconds=20)
    server.start(command).wait_ready()
    server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    with open_connection(server) as connection:
        server.signal(signal.SIGTERM)
        until(lambda: _is_draining(server), "the begin of the drain")
        answer = _ask(server, connection, "POST /tasks/quick")
        assert answer == "" or (answer.startswith("HTTP/1.1 503") and "retry-after" in answer.lower())
        flag.touch()
        assert server.wait_exit(15) == 0
    assert server.rows("SELECT kind, status FROM tasks") == [("sleeper", "completed")]


def test_a_stop_while_the_server_starts_is_a_clean_stop(server: Server) -> None:
    """Whatever instant it comes at."""
    for pause in (0.1, 0.2, 0.3, 0.4):
        server.start()
        threading.Event().wait(pause)  # not a wait for something: the instant is the point
        code = server.sigterm()
        # Before Python has set up its handlers a signal ends any process by its number.
        assert code in (0, -signal.SIGTERM)
        assert server.start().wait_ready().sigterm() == 0
        assert "Traceback" not in server.stderr


def _is_draining(server: Server) -> bool:
    """It takes no new connections any more, or says that it is not ready."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            answer = _ask(server, connection, "GET /ready")
            return not answer or answer.startswith("HTTP/1.1 503")
    except OSError:
        return True


def _ask(server: Server, connection: socket.socket, line: str) -> str:
    """The whole answer to a request without a body; empty when the connection was closed instead."""
    try:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(65536)
            if not piece:
                return ""
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        (length,) = [
            int(field.split(b":")[1]) for field in head.lower().splitlines() if field.startswith(b"content-length:")
        ]
        while len(body) < length:
            body += connection.recv(65536)
        return (head + b"\r\n\r\n" + body).decode()
    except ConnectionError:
        return ""
