"""Quotas in the real server: exact with many clients at once and over kill -9; the other key notices nothing."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.acceptance.conftest import MakeServer
from tests.acceptance.followers import open_stream
from tests.acceptance.harness import Server, until

ALICE, BOB = "alice-s-key-is-long-enough", "bob-s-key-is-long-enough"
KEYS = f"alice:{ALICE},bob:{BOB}"
QUOTA = 40


def post(server: Server, key: str, batch: int = 1) -> int:
    body = [{"kind": "quick", "delay": 3600}] * batch
    return server.client.post("/tasks", json=body, headers={"X-API-Key": key}).status_code


def delayed(server: Server, key: str) -> int:
    quotas = server.client.get("/status", headers={"X-API-Key": key}).json()["quotas"]
    used: int = quotas["delayed"]["used"]
    return used


def test_no_two_clients_share_the_last_place_and_a_crash_frees_none(make_server: MakeServer) -> None:
    server = make_server(api_keys=KEYS, quota_delayed=QUOTA).start().wait_ready()
    with ThreadPoolExecutor(8) as clients:
        answers = Counter(clients.map(lambda n: post(server, ALICE, 1 + n % 3), range(60)))
    assert set(answers) == {202, 429}
    before = delayed(server, ALICE)
    assert QUOTA - 3 < before <= QUOTA
    while post(server, ALICE) == 202:
        pass
    assert delayed(server, ALICE) == QUOTA
    assert post(server, BOB, QUOTA) == 202
    server.kill9()
    server.start().wait_ready()
    assert (post(server, ALICE), post(server, BOB)) == (429, 429)
    assert delayed(server, ALICE) == delayed(server, BOB) == QUOTA
    task = server.client.get("/tasks?limit=1", headers={"X-API-Key": ALICE}).json()["tasks"][0]["task_id"]
    assert server.client.post(f"/tasks/{task}/cancel", headers={"X-API-Key": ALICE}).status_code == 200
    until(lambda: post(server, ALICE) == 202, "the place of the cancelled one")
    assert delayed(server, ALICE) == QUOTA


def test_requests_of_a_key_with_a_quota_of_its_own(make_server: MakeServer) -> None:
    server = make_server(api_keys=f"bob:{BOB}").start().wait_ready()
    key = server.command("keys", "add", "ann", "--quotas", "requests=3,delayed=1").stdout.strip()
    header = {"X-API-Key": key}
    made = server.client.post("/tasks/quick?delay=3600", json={}, headers=header).json()["task_id"]
    with ExitStack() as opened:
        for _ in range(3):
            stream = open_stream(server.port, f"/tasks/{made}/events", headers=f"X-API-Key: {key}\r\n")
            opened.enter_context(stream).recv(1)
        refused = server.client.get("/status", headers=header)
        assert (refused.status_code, refused.json()["quota"], refused.json()["limit"]) == (429, "requests", 3)
        assert refused.headers["RateLimit-Policy"] == '"requests";q=3'
        assert post(server, BOB) == 202
    changed = server.command("keys", "change", "ann", "--quotas", "delayed=2")
    assert "delayed=2" in changed.stdout
    until(lambda: server.client.get("/status", headers=header).status_code == 200, "room again")
    assert server.client.get("/status", headers=header).json()["quotas"]["delayed"] == {"used": 1, "limit": 2}
