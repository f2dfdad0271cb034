"""`make_server` makes servers of a test and ends what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Server

MakeServer = Callable[..., Server]


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
