"""One server for the whole attack. After each test it must be as it was: no task made, nothing but 4xx said, no
traceback written, healthy, and not grown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.attack import Attack, SlowPeers
from tests.hostile.server import Server

KINDS = Path(__file__).with_name("kinds.py")


@pytest.fixture(scope="package", params=["hypercorn", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "uvicorn":
        for name in ("uvicorn", "httptools"):
            pytest.importorskip(name, reason="UVICORN IS NOT INSTALLED: requirements-dev.txt has it")
    started = Server(tmp_path_factory.mktemp("hostile"), kind=request.param, tasks=str(KINDS))
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="package")
def slow(server: Server) -> Iterator[SlowPeers]:
    """Peers that begin requests and never end them, during the whole attack."""
    peers = SlowPeers(server.port)
    yield peers
    peers.close()


@pytest.fixture
def attack(server: Server, slow: SlowPeers) -> Iterator[Attack]:
    begun = Attack(server)
    yield begun
    begun.close()
    begun.assert_nothing_happened()
