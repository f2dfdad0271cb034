"""A stop is a stop whatever a task's code has done to its process: exit code 0, in time, and what ran is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, Server, lines_of, until
from tests.acceptance.saboteurs import SIGNALS, STOPS

pytestmark = pytest.mark.once

KINDS = Path(__file__).with_name("saboteurs.py")
every_command = pytest.mark.parametrize("command", ["serve", "serve-uvicorn", "hypercorn", "uvicorn"])


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server(tasks=KINDS)


def kernel_delivers(server: Server) -> bool:
    """Both signals have a handler, and the main thread does not block them."""
    words = dict(line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    bits = sum(1 << (number - 1) for number in STOPS)
    return int(words["SigCgt"], 16) & bits == bits and not int(words["SigBlk"], 16) & bits


@every_command
def test_signals_that_a_task_takes_away_are_taken_back(
    server: Server, journal: Path, flag: Path, command: Command
) -> None:
    server.start(command).wait_ready()

    def handlers() -> object:
        return server.ended(server.post("look-at-signals"))["result"]

    ours = handlers()
    for how in SIGNALS:
        assert server.ended(server.post("take-signals", {"how": how}))["status"] == "completed"
        until(lambda: kernel_delivers(server) and handlers() == ours, f"the handlers after {how}")
    assert server.log.count("took SIGTERM or SIGINT away") == 1

    server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    server.post("thread", {"path": str(journal), "flag": str(flag)})
    until(lambda: len(lines_of(journal)) == 2, "the start of both")
    assert server.sigterm() == 0
    assert (
        server.rows("SELECT status, cause, attempt, crashes FROM tasks WHERE kind IN ('sleeper', 'thread')")
        == [("pending", "release", 0, 0)] * 2
    )


@every_command
@pytest.mark.parametrize("how", ["address space", "every byte"])
def test_a_process_without_memory_stops(server: Server, journal: Path, flag: Path, command: Command, how: str) -> None:
    server.start(command).wait_ready()
    server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    assert server.ended(server.post("use-up-memory", {"how": how}))["status"] == "completed"
    assert server.sigterm() == 0
    assert server.start().wait_ready().sigterm() == 0


@every_command
def test_what_an_ordinary_end_of_a_process_waits_for_keeps_nobody(
    server: Server, journal: Path, flag: Path, command: Command
) -> None:
    server.start(command).wait_ready()
    assert server.ended(server.post("poison-the-exit"))["status"] == "completed"
    server.post("sleeper", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    assert server.sigterm() == 0
    assert server.rows("SELECT cause FROM tasks WHERE kind = 'sleeper'") == [("release",)]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *((command, "cancel-all") for command in ("serve", "serve-uvicorn", "hypercorn", "uvicorn")),
        *((command, "break-the-loop") for command in ("serve", "hypercorn")),
    ],
)
def test_a_server_that_was_taken_apart_does_not_linger(server: Server, command: Command, kind: str) -> None:
    server.start(command).wait_ready()
    server.client.post(f"/tasks/{kind}", json={}, params={"delay": "0.2"})
    assert server.wait_exit(20) == 70
    assert server.command("migrate").returncode == 0  # nobody holds the database


def test_a_signal_while_user_code_is_imported_is_a_stop(make_server: MakeServer, tmp_path: Path) -> None:
    kinds = tmp_path / "slow.py"
    kinds.write_text("import pathlib, time\npathlib.Path('imported').touch()\ntime.sleep(3600)\n")
    server = make_server(tasks=kinds)
    server.start()
    until((tmp_path / "imported").exists, "the import")
    assert server.sigterm() == 0
