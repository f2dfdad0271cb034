"""SIGKILL in the middle of a storm of duplicates: there are never two living tasks of one key, but for the one that
waits behind one that has run, and no key is held by a task that has ended."""

from __future__ import annotations

import os
import random
import threading

import httpx
import pytest

from quart_app.store.audit import audit
from tests.acceptance.conftest import MakeServer
from tests.acceptance.harness import DEADLINE, Server, plain_client, until

pytestmark = pytest.mark.once

KILLS = 6
CLIENTS = 6
KEYS = ("a", "b", "c")
QUERIES = (
    {"on_duplicate": "return"},
    {"on_duplicate": "reject"},
    {"on_duplicate": "replace"},
    {"on_duplicate": "debounce", "debounce": "0.05"},
)


class Storm(threading.Thread):
    """Asks for tasks of three keys, with all policies, until it is told to end."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._dice = random.Random(seed)
        self.acknowledged: set[str] = set()
        self.statuses: set[int] = set()
        self.duplicates = 0
        self.done = threading.Event()

    def run(self) -> None:
        with plain_client(self._server.url) as client:
            while not self.done.is_set():
                query = {"unique_key": self._dice.choice(KEYS), **self._dice.choice(QUERIES)}
                try:
                    answer = client.post("/tasks/quick", json={"x": self._dice.randrange(99)}, params=query)
                except httpx.TransportError:
                    self.done.wait(0.01)
                    continue
                self.statuses.add(answer.status_code)
                if answer.status_code in (202, 409):
                    self.acknowledged.add(answer.json()["task_id"])
                    self.duplicates += answer.status_code == 409 or "duplicate" in answer.json()


def check(server: Server) -> None:
    living = server.rows(
        "SELECT unique_key, sum(fence > 0), sum(fence = 0) FROM tasks WHERE completed_at IS NULL GROUP BY unique_key"
    )
    assert all(ran <= 1 and fresh <= 1 for _, ran, fresh in living), living
    assert audit(server.database).findings == []


def test_kills_in_a_storm_of_duplicates(make_server: MakeServer) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    server = make_server(concurrency=8)
    storm = [Storm(server, seed + number) for number in range(CLIENTS)]
    for client in storm:
        client.start()
    for _ in range(KILLS):
        server.start()
        server.wait_ready()
        # Not a wait for something: the instant of the kill is the point.
        threading.Event().wait(chance.uniform(0.05, 0.7))
        server.kill9()
        check(server)
    server.start().wait_ready()
    until(lambda: min(client.duplicates for client in storm) > 5, "duplicates")
    for client in storm:
        client.done.set()
    for client in storm:
        client.join(DEADLINE)
        assert client.statuses <= {202, 409, 503}
    until(
        lambda: server.rows("SELECT count(*) FROM tasks WHERE completed_at IS NULL") == [(0,)], "the end of all tasks"
    )
    check(server)
    assert server.rows("SELECT count(*) FROM unique_keys") == [(0,)]
    there = dict(server.rows("SELECT id, status FROM tasks"))
    assert set(there.values()) == {"completed"}
    assert set().union(*(client.acknowledged for client in storm)) <= set(there), "what was answered is there"
