"""`/api/data` of the examples document, asked over the network, before and after kill -9."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import Server


def statuses(server: Server, user: str, times: int) -> list[int]:
    """Asked at once."""
    with ThreadPoolExecutor(8) as pool:
        get = server.client.get
        return sorted(pool.map(lambda _: get("/api/data", headers={"X-User-ID": user}).status_code, range(times)))


def test_a_hundred_calls_an_hour_and_a_kill_forgives_none(make_server: MakeServer) -> None:
    server = make_server().start().wait_ready()
    assert statuses(server, "ann", 60) == [200] * 60
    server.kill9()

    server.start().wait_ready()
    assert statuses(server, "ann", 50) == [200] * 40 + [429] * 10
    refused = server.client.get("/api/data", headers={"X-User-ID": "ann"})
    assert refused.headers["RateLimit-Policy"] == '"api-data";q=100;w=3600'
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert statuses(server, "bob", 1) == [200]
    assert server.client.get("/api/data").status_code == 400
