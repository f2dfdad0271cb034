"""What takes a minute or hundreds of megabytes in earnest: the real server, started with that one figure lowered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server, lines_of, until


def start_with(server: Server, figure: str, value: float) -> Server:
    """`figure` is a constant's name, dotted, inside the package."""
    module, _, name = f"quart_app.{figure}".rpartition(".")
    code = f"import {module}; {module}.{name} = {value}; from quart_app.cli import main; main()"
    return server.run("-c", code, "serve", "--bind", f"127.0.0.1:{server.port}")


def test_a_handler_that_blocks_the_loop_for_good_ends_the_process_and_its_task_goes_on_after_the_next_start(
    server: Server, journal: Path, flag: Path
) -> None:
    start_with(server, "process.loop_watch.HOPELESS", 1.5).wait_ready()
    blocked = server.post("blocks", {"path": str(journal), "flag": str(flag)})
    until(lambda: lines_of(journal), "the start of the task")
    assert server.wait_exit() == 70
    assert "quart_app: the event loop does not move any more" in server.stderr
    assert "time.sleep(3600)" in server.log, "the place is named"
    flag.touch()
    server.start().wait_ready()
    assert server.ended(blocked)["status"] == "completed"
    attempts = server.client.get(f"/tasks/{blocked}/history").json()["attempts"]
    assert [(one["attempt"], one["outcome"]) for one in attempts] == [(1, "crash"), (1, "complete")]
    assert server.sigterm() == 0


def test_damage_in_a_large_database_ends_the_server_that_serves_it(make_server: MakeServer) -> None:
    server = make_server()
    assert server.run("-m", "quart_app", "migrate").wait_exit() == 0
    with closing(sqlite3.connect(server.database)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'progress'")
    with server.database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xee" * 4096)
    start_with(server, "store.sqlite.integrity.AT_ONCE_BYTES", 0)
    assert server.wait_exit() == 74
    (line,) = [line for line in server.stderr.splitlines() if line.startswith("quart_app: ")]
    assert "tasks.db is damaged" in line
    assert "restore" in line
    assert "Traceback" not in server.stderr
