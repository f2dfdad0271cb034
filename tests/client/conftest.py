"""A real server, and both clients: a test that takes `client` is run with each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quart_app.client import AsyncClient, Client
from tests.acceptance.conftest import flag, journal, make_server  # noqa: F401 - fixtures
from tests.acceptance.harness import HOSTILE, Server

KINDS = Path(__file__).with_name("kinds.py")
TASKS = f"{HOSTILE},{KINDS}"
UNKNOWN = "01a1fc91-bf65-7cf5-9e74-aba76276041c"  # an id that no task has
MakeClient = Callable[..., Any]


class Awaited:
    """An AsyncClient with the face of a Client: each call is awaited on an event loop of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*args, **options)

    def __repr__(self) -> str:
        return repr(self._client)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._iterate(method) if name in ("events", "list") else self._call(method)

    def _call(self, method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            return self._runner.run(method(*args, **options))

        return call

    def _iterate(self, method: Any) -> Any:
        def each(*args: Any, **options: Any) -> Iterator[Any]:
            found = method(*args, **options)
            try:
                while (one := self._runner.run(anext(found, None))) is not None:
                    yield one
            finally:
                self._runner.run(found.aclose())

        return each

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Client, Awaited], ids=["Client", "AsyncClient"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """`make_client(url, key)`: a client, which is closed after the test."""
    made: list[Any] = []

    def make(*args: Any, **options: Any) -> Any:
        made.append(request.param(*args, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of a module: they leave it alone."""
    server = Server(tmp_path_factory.mktemp("service"), tasks=TASKS).start().wait_ready()
    yield server
    server.close()


@pytest.fixture
def client(make_client: MakeClient, service: Server) -> Any:
    """A client of `service`."""
    return make_client(service.url)
