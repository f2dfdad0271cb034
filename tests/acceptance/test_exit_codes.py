"""Why `serve` does not start, or stops by itself: the exit code, and one line on stderr that says it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Command, Server

EVERY_COMMAND: list[Command] = ["serve", "serve-uvicorn", "hypercorn", "uvicorn"]


def one_line(server: Server) -> str:
    """What it said on stderr, which is one line for a person and no traceback. uvicorn adds its own two before it."""
    lines = [line for line in server.stderr.splitlines() if line and not line.startswith("INFO:")]
    assert len(lines) == 1, server.stderr
    assert lines[0].startswith("quart_app: ")
    return lines[0]


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("concurrency", "many"),
        ("concurrency", "0"),
        ("concurrency", ""),
        ("concurrency", "\udcff"),
        ("cat_facts_url", "http://[::1"),
        ("profile_url", "http://x:99999"),
        ("drain_seconds", "nan"),
        ("synchronous", "OFF"),
        ("database_url", "mysql://somewhere"),
        ("bind", "nowhere"),
        ("smtp_url", "http://mail"),
        ("log_level", "loud"),
        ("max_args", "2000000"),
        ("no_such_setting", "1"),
        ("tasks", "no_such_module"),
        ("tasks", "/nowhere/tasks.py"),
    ],
)
def test_a_bad_setting_is_78_and_names_its_key(make_server: MakeServer, key: str, value: str) -> None:
    server = make_server(**{key: value}).start()
    assert server.wait_exit() == 78
    assert f"QUART_APP_{key.upper()}" in one_line(server)
    assert not server.database.exists()


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
def test_a_bad_setting_is_78_under_other_servers_too(make_server: MakeServer, command: Command) -> None:
    server = make_server(concurrency="many").start(command)
    assert server.wait_exit() == 78
    assert "QUART_APP_CONCURRENCY" in one_line(server)


def test_a_server_that_is_not_installed_is_78_and_says_what_to_install(server: Server) -> None:
    missing = "import runpy, sys; sys.modules['httptools'] = None; runpy.run_module('quart_app', run_name='__main__')"
    server.run("-c", missing, "serve", "--server", "uvicorn")
    assert server.wait_exit() == 78
    assert "pip install uvicorn httptools uvloop" in one_line(server)


def test_a_bad_setting_in_a_dotenv_file_is_78_too(server: Server) -> None:
    (server.folder / ".env").write_text("QUART_APP_QUEUE_LIMIT=-1\n")
    assert server.start().wait_exit() == 78
    assert "QUART_APP_QUEUE_LIMIT" in one_line(server)


@pytest.mark.parametrize("command", ["hypercorn", "uvicorn"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bind = 5", "bind: Expected `str"),
        ("bind = ['127.0.0.1:0', 7]", "bind: Expected `str`"),
        ("keep_alive_timeout = 'x'", "keep_alive_timeout: Expected `float`"),
        ("backlog = 'a'", "backlog: Expected `int`"),
        ("umask = 'x'", "umask: Expected `int`"),
        ("max_requests = 'x'", "max_requests: Expected `int`"),
        ("certfile = 'absent'\nkeyfile = 'absent'", "a key of TLS in serve.toml: No such file"),
    ],
)
def test_a_bad_key_of_hypercorn_toml_is_78_and_named(server: Server, command: str, line: str, words: str) -> None:
    (server.folder / "serve.toml").write_text(f"{line}\n")
    more = () if line.startswith("bind") else ("--bind", f"127.0.0.1:{server.port}")
    server.run("-m", "quart_app", "serve", "--server", command, "--config", "serve.toml", *more)
    assert server.wait_exit() == 78
    said = [told for told in server.stderr.splitlines() if " INFO " not in told]
    assert len(said) == 1, server.stderr
    assert words in said[0]
    assert "serve.toml" in said[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("accesslog = 'absent/log'", "No such file"),
        ("logconfig = 'serve.toml'", "no section headers"),
        ("logconfig_dict = {version = 2}", "version"),
    ],
)
def test_a_log_of_hypercorn_that_cannot_be_is_78(server: Server, line: str, words: str) -> None:
    (server.folder / "serve.toml").write_text(f"{line}\n")
    server.run("-m", "quart_app", "serve", "--config", "serve.toml", "--bind", f"127.0.0.1:{server.port}")
    assert server.wait_exit() == 78
    assert words in one_line(server)


def test_a_key_that_hypercorn_does_not_have_is_one_warning(server: Server) -> None:
    (server.folder / "serve.toml").write_text("keep_alive_timout = 3\n")
    server.run("-m", "quart_app", "serve", "--config", "serve.toml", "--bind", f"127.0.0.1:{server.port}")
    server.wait_ready()
    assert server.stderr.count("serve.toml: Hypercorn has no keep_alive_timout") == 1
    assert server.sigterm() == 0


# --- the database. Each maker leaves something at the path; `unchanged` says whether its bytes must stay.


def a_directory(path: Path) -> None:
    path.mkdir()


def another_programs(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def a_newer_one(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'from_the_future', 'x', 0)")
    connection.close()


def an_edited_one(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE migrations SET checksum = 'x'")
    connection.close()


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def a_truncated_one(path: Path) -> None:
    os.truncate(path, 20_000)


def a_garbage_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_symlink_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (a_directory, 78, "directory"),
        (another_programs, 78, "another program"),
        (a_newer_one, 78, "newer"),
        (an_edited_one, 78, "edited"),
        (random_bytes, 74, "restore"),
        (a_truncated_one, 74, "restore"),
        (a_garbage_page, 74, "restore"),
        (a_pipe, 74, "tasks.db"),
        (a_symlink_loop, 74, "tasks.db"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_database_that_is_not_ours_to_serve_is_refused_and_left_alone(
    server: Server, make: Callable[[Path], None], code: int, words: str
) -> None:
    if make in (a_newer_one, an_edited_one, a_truncated_one, a_garbage_page):
        assert server.run("-m", "quart_app", "migrate").wait_exit() == 0
    server.data.mkdir(exist_ok=True)
    make(server.database)
    before = fingerprint(server.database) if server.database.is_file() else None
    for _ in range(2):  # the second time too: the first has changed nothing
        assert server.start().wait_exit() == code
        line = one_line(server)
        assert words in line
        assert "tasks.db" in line
    assert before is None or fingerprint(server.database) == before


def test_a_data_folder_may_have_any_name(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(data_dir=tmp_path / os.fsdecode(b"%3f-\xff"))
    server.start().wait_ready()
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.sigterm() == 0


def test_an_empty_file_is_a_new_database(server: Server) -> None:
    server.data.mkdir()
    server.database.touch()
    server.start().wait_ready()
    assert server.ended(server.post("quick"))["status"] == "completed"
    assert server.sigterm() == 0


@pytest.mark.parametrize(
    ("command", "how"), [*((command, "replaced") for command in EVERY_COMMAND), ("serve", "removed")]
)
def test_a_database_that_is_taken_away_while_it_is_served_is_74(server: Server, command: Command, how: str) -> None:
    server.start(command).wait_ready()
    server.ended(server.post("quick"))
    if how == "replaced":
        copy = server.folder / "copy.db"
        shutil.copy(server.database, copy)
        copy.replace(server.database)
    else:
        server.database.unlink()
    assert server.wait_exit() == 74
    assert [line for line in server.stderr.splitlines() if line.startswith("quart_app: ") and "tasks.db" in line]
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_port_that_is_taken_ends_the_process_with_a_word(server: Server, command: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
        other.listen()
        server.start(command)
        assert server.wait_exit(15) not in (0, None)
    if command == "serve":
        (line,) = [line for line in server.stderr.splitlines() if line.startswith("quart_app: ")]
        assert str(server.port) in line
        assert "Traceback" not in server.stderr
    else:
        assert "address already in use" in server.stderr.lower()
    # Nothing is left behind that would keep the next start from working.
    server.start(command).wait_ready()
