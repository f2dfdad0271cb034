"""Backup, restore and audit as commands: beside a server under load, over kills, back to what was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command
from tests.acceptance.harness import Server, plain_client, until
from tests.acceptance.test_cli import good, one_line


class Load(threading.Thread):
    """Makes tasks in small batches until it is told to stop; knows which were acknowledged."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self.acknowledged: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        with plain_client(self._server.url) as client:
            while not self.done.is_set() and len(self.acknowledged) < 20_000:
                answer = client.post("/tasks", json=[{"kind": "quick", "args": {"x": "y" * 300}}] * 20)
                if answer.status_code == 202:
                    self.acknowledged += [task["task_id"] for task in answer.json()["tasks"]]


@pytest.fixture
def load(server: Server) -> Iterator[Load]:
    server.start().wait_ready()
    made = Load(server)
    made.start()
    until(lambda: len(made.acknowledged) >= 200, "some load")
    yield made
    made.done.set()
    made.join()


def ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {task_id for (task_id,) in connection.execute("SELECT id FROM tasks")}


def test_a_backup_under_load_has_all_that_was_acknowledged_before_and_can_be_served(
    server: Server, load: Load, command: Command
) -> None:
    copy = server.folder / "copy.db"
    before = set(load.acknowledged)
    said = good(command("backup", str(copy)))
    assert "complete and checked" in said
    assert before <= ids(copy)
    assert "no findings" in good(command("audit", str(copy)))
    again = command("backup", str(copy))
    assert again.returncode == 1
    assert "--force" in one_line(again)
    assert good(command("backup", str(copy), "--force"))

    load.done.set()
    load.join()
    refused = command("restore", str(copy))
    assert refused.returncode == 75
    assert str(server.pid) in one_line(refused)
    assert server.sigterm() == 0
    last = ids(server.database)
    restored = good(command("restore", str(copy)))
    kept = next(server.data.glob("tasks.db.before-*"))
    assert kept.name in restored
    assert (ids(server.database), ids(kept)) == (ids(copy), last)
    server.start().wait_ready()
    for task_id in list(before)[:20]:
        assert server.ended(task_id)["status"] == "completed"
    assert "no findings" in good(command("audit"))


def test_an_audit_beside_a_server_under_load_finds_nothing(server: Server, load: Load, command: Command) -> None:
    for _ in range(3):
        report = json.loads(good(command("audit", "--json")))
        assert report["findings"] == []
        assert report["checked"]["tasks"] >= 200
    assert "no findings" in good(command("audit"))


def test_a_fault_is_a_line_and_exit_1(server: Server, command: Command) -> None:
    good(command("tasks", "create", "quick"))
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("UPDATE counters SET n = n + 7")
        connection.commit()
    done = command("audit")
    assert done.returncode == 1
    assert "says 8, there are 1" in done.stdout
    assert json.loads(command("audit", "--json").stdout)["findings"] != []


def test_a_kill_in_a_backup_under_load_leaves_nothing_partial_under_its_name(server: Server, load: Load) -> None:
    """tests/store kills at every line; this is the command itself, killed as soon as there is a file."""
    copies = server.folder / "copies"
    for number in range(5):
        folder = copies / str(number)
        folder.mkdir(parents=True)
        before = set(load.acknowledged)
        backup = subprocess.Popen(
            [sys.executable, "-m", "quart_app", "backup", str(folder / "copy.db")],
            cwd=server.folder,
            env=server.environment,
        )
        until(lambda here=folder: any(here.iterdir()), "the copying")
        backup.send_signal(signal.SIGKILL)
        backup.wait()
        if (folder / "copy.db").exists():  # it was faster
            assert before <= ids(folder / "copy.db")
    assert server.ended(load.acknowledged[-1])["status"] == "completed"


def test_the_command_that_a_damaged_database_names_mends_it(server: Server, command: Command) -> None:
    copy = server.folder / "copy.db"
    task_id = good(command("tasks", "create", "quick", '{"x": 3}')).strip()
    good(command("backup", str(copy)))
    server.database.write_bytes(os.urandom(20_000))
    assert server.start().wait_exit() == 74
    assert "`python -m quart_app restore FILE`" in server.stderr
    audited = command("audit")
    assert audited.returncode == 74
    assert "restore FILE" in one_line(audited)
    good(command("restore", str(copy)))
    server.start().wait_ready()
    assert server.ended(task_id)["result"] == 3


def test_files_that_cannot_be_used_are_one_line(server: Server, command: Command) -> None:
    nowhere = str(server.folder / "nowhere" / "copy.db")
    for arguments, code, words in (
        (("backup", nowhere), 74, "no database"),
        (("audit",), 74, "no database"),
        (("restore", nowhere), 74, "does not exist"),
    ):
        done = command(*arguments)
        assert done.returncode == code
        assert words in one_line(done)
    good(command("migrate"))
    foreign, noise = server.folder / "foreign.db", server.folder / "noise.db"
    noise.write_text("a letter to a friend\n" * 100)
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    for arguments, code, words in (
        (("backup", nowhere), 74, "No such file"),
        (("backup", str(server.database), "--force"), 1, "is the database itself"),
        (("restore", str(foreign)), 78, "another program"),
        (("restore", str(server.database)), 78, "itself"),
        (("audit", str(foreign)), 78, "another program"),
        (("audit", str(noise)), 74, "no database"),
    ):
        done = command(*arguments)
        assert done.returncode == code
        assert words in one_line(done)
        assert "restore FILE" not in done.stderr, "it is not the database: nobody wants a backup in its place"
