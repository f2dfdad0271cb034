"""A client that never gives up: the load of the kill loops."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx

from tests.acceptance.harness import Server, plain_client

STEPS = 3  # of each task it makes


class Client(threading.Thread):
    """Makes one task after the other, each with a key; asks again with the same key until it has an answer."""

    def __init__(self, number: int, server: Server, journal: Path) -> None:
        super().__init__(daemon=True)
        self._name = number
        self._server = server
        self._journal = journal
        self.acknowledged: dict[str, str] = {}
        self.problems: list[str] = []
        self.up = threading.Event()
        self.done = threading.Event()

    def run(self) -> None:
        with plain_client(self._server.url) as client:
            while not self.done.is_set():
                self.up.wait()
                key = f"client-{self._name}-task-{len(self.acknowledged)}"
                body = {"path": str(self._journal), "count": STEPS, "pause": 0.02}
                headers = {"Idempotency-Key": key, "Prefer": "wait=2"}
                try:
                    answer = client.post("/tasks/steps", json=body, headers=headers)
                except httpx.TransportError:
                    continue
                if answer.status_code in (200, 202):
                    self.acknowledged[key] = answer.json()["task_id"]
                elif answer.status_code != 503:
                    self.problems.append(f"{key}: {answer.status_code} {answer.text}")
