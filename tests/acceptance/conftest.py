"""`make_server` makes servers of a test and ends what is left of them."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from quart_app import cli
from tests.acceptance.harness import Server

MakeServer = Callable[..., Server]
Command = Callable[..., CompletedProcess[str]]

# A shell lets what it runs in the background ignore Ctrl-C, and whatever the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """`make_server(concurrency=1)`: a server that is not started yet. All servers of one test share the data folder
    unless they are given one."""
    made: list[Server] = []

    def make(**settings: object) -> Server:
        server = Server(tmp_path, **settings)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    """A server with the default settings, not started yet."""
    return make_server()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where tasks write down what they do."""
    return tmp_path / "journal"


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """Once it exists, waiting tasks may end."""
    return tmp_path / "flag"


@pytest.fixture
def command(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`command("tasks", "list")`: what `server.command` does, in this process, which is ten times as fast."""
    for name in [name for name in os.environ if name.startswith("QUART_APP_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(server.folder)

    def run(*arguments: str, stdin: str = "") -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        assert isinstance(ended.value.code, int)
        return CompletedProcess(arguments, ended.value.code, *capsys.readouterr())

    return run
