from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import flag, journal, make_server
from tests.acceptance.harness import Server
from tests.deploy.certificates import Certificate
from tests.deploy.fronts import Caddy, Front, Nginx, need

__all__ = ["flag", "journal", "make_server"]

KEY = "correct-horse-battery"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """A server behind one proxy, set up as the examples say."""
    server = Server(folder, trusted_proxies=1, api_keys=f"shop:{KEY}", simulated_steps="0,0")
    server.client.headers["X-API-Key"] = KEY
    try:
        yield server.start().wait_ready()
    finally:
        server.close()


@contextmanager
def proxied(proxy: type[Front], folder: Path, certificate: Certificate, service: Server) -> Iterator[Front]:
    """The proxy before `service`."""
    made = proxy(folder, certificate, service.port)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module", params=[Nginx, Caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> type[Front]:
    need(request.param.__name__.lower())
    chosen: type[Front] = request.param
    return chosen


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of all tests that neither stop it nor take all that it has."""
    with served(tmp_path_factory.mktemp("service")) as server:
        yield server


@pytest.fixture(scope="module")
def front(
    proxy: type[Front], service: Server, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with proxied(proxy, tmp_path_factory.mktemp("front"), certificate, service) as made:
        yield made


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Server]:
    """A server of one test."""
    with served(tmp_path) as server:
        yield server


@pytest.fixture
def own_front(proxy: type[Front], own_service: Server, certificate: Certificate, tmp_path: Path) -> Iterator[Front]:
    folder = tmp_path / "front"
    folder.mkdir()
    with proxied(proxy, folder, certificate, own_service) as made:
        yield made
