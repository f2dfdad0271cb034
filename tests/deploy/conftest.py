from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeServer, flag, journal, make_server
from tests.acceptance.harness import Server
from tests.deploy.certificates import Certificate
from tests.deploy.fronts import Caddy, Front, Nginx, need

__all__ = ["flag", "journal", "make_server"]

KEY = "correct-horse-battery"


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.fixture
def service(make_server: MakeServer) -> Server:
    """A server behind one proxy, set up as the examples say."""
    server = make_server(trusted_proxies=1, api_keys=f"shop:{KEY}", simulated_steps="0,0")
    server.client.headers["X-API-Key"] = KEY
    return server.start().wait_ready()


@pytest.fixture(params=[Nginx, Caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> type[Front]:
    need(request.param.__name__.lower())
    chosen: type[Front] = request.param
    return chosen


@pytest.fixture
def front(proxy: type[Front], service: Server, certificate: Certificate, tmp_path: Path) -> Iterator[Front]:
    """The proxy before `service`."""
    folder = tmp_path / "front"
    folder.mkdir()
    made = proxy(folder, certificate, service.port)
    try:
        made.start()
        yield made
    finally:
        made.stop()
