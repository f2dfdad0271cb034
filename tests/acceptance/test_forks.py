"""Tasks that fork: what they leave holds neither the lock nor the port nor a client, and dies with the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import DEADLINE, Command, Server, alive, children, lines_of, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT LINUX: forks of this process are not safe there")

KINDS = Path(__file__).with_name("fork_kinds.py")
MAKERS = {
    "pool-fork": ("makes-pool", {"method": "fork"}),
    "pool-forkserver": ("makes-pool", {"method": "forkserver"}),
    "pool-spawn": ("makes-pool", {"method": "spawn"}),
    "executor": ("makes-executor", {}),
    "fork": ("forks", {}),
    "executed": ("executes", {}),
}
OUTLIVES = {"executed"}  # a program of the user's own, of which nothing was promised


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server(tasks=KINDS)


@pytest.fixture
def made(journal: Path) -> Iterator[dict[str, list[int]]]:
    """The processes that the tasks have made, by the names in the journal; what is left of them ends with the test."""
    found: dict[str, list[int]] = {}
    yield found
    for pids in found.values():
        for pid in filter(alive, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def living(made: dict[str, list[int]]) -> set[str]:
    return {name for name, pids in made.items() if any(map(alive, pids))}


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])
def test_after_a_kill_the_next_server_starts_beside_what_tasks_have_left(
    server: Server, journal: Path, flag: Path, made: dict[str, list[int]], command: Command
) -> None:
    server.start(command).wait_ready()
    paths = {"path": str(journal), "flag": str(flag)}
    tasks = {name: server.post(kind, {**paths, **args}) for name, (kind, args) in MAKERS.items()}
    until(lambda: len(lines_of(journal)) == len(MAKERS), "the processes of all tasks")
    made.update({name: [int(pid) for pid in pids] for name, *pids in lines_of(journal)})
    server.kill9()

    with contextlib.suppress(AssertionError):
        until(lambda: living(made) == OUTLIVES, "the end of the children", deadline=5)
    assert living(made) == OUTLIVES

    flag.touch()
    server.start(command).wait_ready()
    for name, task_id in tasks.items():
        done = server.ended(task_id)
        assert (name, done["status"], done["crashes"]) == (name, "completed", 0), done["error"]
    assert (server.data / "control.sock").is_socket()
    assert server.command("status").returncode == 0
    assert server.sigterm() == 0
    assert server.command("audit").returncode == 0


@pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "uvicorn"])
def test_a_forked_child_that_leaves_its_handler_ends_as_a_program_does_and_never_serves(
    server: Server, command: Command
) -> None:
    server.start(command).wait_ready()
    codes = {"exits": 3, "raises": 1, "returns": 0}
    made = {
        (kind, how): server.post(f"fork-leaves-{kind}", {"how": how})
        for kind in ("async", "thread", "step", "task")
        for how in codes
        if not (kind == "task" and how == "returns")  # then it is the handler that waits for the task
    }
    for (kind, how), task_id in made.items():
        done = server.ended(task_id)
        assert done["status"] == "completed", (kind, how, done["error"])
        if kind != "task":
            assert (kind, how, done["result"]) == (kind, how, codes[how])
    # It goes back to the loop, where it must not take the server's turns.
    waits = server.ended(server.post("fork-leaves-async", {"how": "waits"}))
    assert waits["status"] == "completed"
    assert waits["result"] != 0
    assert children(server.pid) == set()
    assert server.client.get("/health").status_code == 200
    assert server.sigterm() == 0
    assert server.command("audit").returncode == 0


def test_a_forked_child_keeps_no_clients_connection(server: Server, journal: Path, flag: Path) -> None:
    """The client sees the end of an answer when the server closes, not when the last copy is closed."""
    server.start("uvicorn").wait_ready()  # Hypercorn says that it ends before it closes
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        task_id = server.post("forks", {"path": str(journal), "flag": str(flag)})
        until(lambda: lines_of(journal), "the fork")
        client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        while client.recv(65_536):
            pass
    flag.touch()
    assert server.ended(task_id)["status"] == "completed"


def test_what_a_process_task_has_started_dies_with_the_server(
    make_server: MakeServer, made: dict[str, list[int]]
) -> None:
    server = make_server(tasks=KINDS.parents[1] / "engine" / "process_kinds.py")
    server.start().wait_ready()
    task_id = server.post("starts-others", {"how": "waits"})
    text = until(lambda: (server.task(task_id)["progress"] or {}).get("message"), "what the handler has started")
    made.update(zip(("group", "session", "orphan", "fork"), [[int(pid)] for pid in text.split()], strict=True))
    server.kill9()
    until(lambda: living(made) <= {"session"}, "the end of its group", deadline=5)
    server.start().wait_ready()
    assert server.client.post(f"/tasks/{task_id}/cancel").status_code in (200, 202)
    assert server.ended(task_id)["status"] == "cancelled"
