"""The service in this process behind Quart's test client, and what tests ask of its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from quart import Quart
from werkzeug.datastructures import Headers

from quart_app.settings import Settings

DEADLINE = 20.0  # seconds; only a broken server comes near it
KINDS = Path(__file__).with_name("kinds.py")
ENDED = ("completed", "failed", "cancelled")
_NOTHING = object()

# A page that some link or program opened, not a person.
NOT_ASKED_FOR = [
    ("HEAD", {}),
    ("GET", {"Sec-Fetch-Site": "cross-site"}),
    ("GET", {"Sec-Fetch-Site": "same-site"}),
    ("GET", {"Origin": "https://evil.example"}),
    ("GET", {"Purpose": "prefetch"}),
    ("GET", {"Sec-Purpose": "prefetch"}),
    ("GET", {"Sec-Purpose": "prefetch;prerender"}),
    ("GET", {"X-Moz": "prefetch"}),
]

Pairs = Mapping[str, str] | list[tuple[str, str]]


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        # Integers of 1000 digits are part of the contract, so the reader must be msgspec's.
        return msgspec.json.decode(self.body)

    @property
    def id(self) -> str:
        """The task that was made."""
        assert self.status == 202, (self.status, self.body)
        task_id: str = self.json["task_id"]
        return task_id


class Site:
    """A served app; `settings` are those it runs with."""

    def __init__(self, app: Quart, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._client = app.test_client()

    # --- requests

    async def request(
        self,
        method: str,
        path: str,
        body: Any = _NOTHING,
        headers: Pairs | None = None,
        content_type: str | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Answer:
        """`body`: bytes as they are, anything else as JSON. `scope`: what the server says of the connection."""
        fields = Headers(headers or {})
        data = None
        if body is not _NOTHING:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields.setdefault("Content-Type", content_type or "application/json")
            fields.setdefault("Content-Length", str(len(data)))
        response = await self._client.open(path, method=method, headers=fields, data=data, scope_base=dict(scope or {}))
        return Answer(response.status_code, response.headers, bytes(await response.get_data(as_text=False)))

    async def get(self, path: str, headers: Pairs | None = None) -> Answer:
        return await self.request("GET", path, headers=headers)

    async def post(self, path: str, body: Any = _NOTHING, headers: Pairs | None = None) -> Answer:
        return await self.request("POST", path, body, headers)

    async def delete(self, path: str, headers: Pairs | None = None) -> Answer:
        return await self.request("DELETE", path, headers=headers)

    # --- tasks

    async def make(self, kind: str, args: Any = None, query: str = "", headers: Pairs | None = None) -> str:
        """The id of a new task."""
        return (await self.post(f"/tasks/{kind}{query}", args or {}, headers)).id

    async def task(self, task_id: str) -> Any:
        answer = await self.get(f"/tasks/{task_id}")
        assert answer.status == 200, answer.body
        return answer.json

    async def ended(self, task_id: str) -> Any:
        """The task once it has ended."""
        task = (await self.get(f"/tasks/{task_id}?wait={DEADLINE:g}")).json
        assert task["status"] in ENDED, f"{task['kind']} is still {task['status']}"
        return task

    async def run(self, kind: str, args: Any = None, query: str = "") -> Any:
        return await self.ended(await self.make(kind, args, query))

    async def until(self, task_id: str, status: str) -> Any:
        """The task once it has this status. Waits for each change as a client would."""
        ends = asyncio.get_running_loop().time() + DEADLINE
        answer = await self.get(f"/tasks/{task_id}")
        while asyncio.get_running_loop().time() < ends:
            if answer.status == 200 and answer.json["status"] == status:
                return answer.json
            seen = {"If-None-Match": answer.headers["ETag"]}
            answer = await self.get(f"/tasks/{task_id}?wait={DEADLINE:g}", seen)
        raise AssertionError(f"waited {DEADLINE:g} s in vain for {status}")

    async def held(self, name: str = "hold") -> str:
        """The id of a task that runs until `open_gate(name)`."""
        task_id = await self.make("hold", {"name": name})
        await self.until(task_id, "processing")
        return task_id

    def open_gate(self, name: str) -> None:
        (self.settings.data_path / f"gate-{name}").touch()

    async def total(self) -> int:
        """How many tasks there are."""
        return sum((await self.get("/status")).json["tasks"].values())

    def sql(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """Another hand in the database, for what no answer shows."""
        path = self.settings.database_path
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(statement, params).fetchall()


async def next_millisecond() -> None:
    """Wait until the clock, which dates rows in milliseconds, shows a later time."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= now:  # noqa: ASYNC110 - a clock rings no bell
        await asyncio.sleep(0.0005)


def assert_problem(answer: Answer, status: int, *pointers: str, part: str = "") -> Any:
    """The problem document of an answer: whole (RFC 9457), of this status, with these JSON Pointers, and with `part`
    somewhere in its detail."""
    assert answer.status == status, (answer.status, answer.body[:500])
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json
    assert {name: type(document.get(name)) for name in ("type", "title", "status", "detail", "error")} == {
        "type": str,
        "title": str,
        "status": int,
        "detail": str,
        "error": str,
    }, document
    assert document["status"] == status
    assert all(document[name] for name in ("type", "title", "detail", "error"))
    found = [one["pointer"] for one in document.get("errors", [])]
    if pointers:
        assert found == list(pointers)
    assert all(one["detail"] for one in document.get("errors", []))
    assert part.lower() in document["detail"].lower()
    return document
