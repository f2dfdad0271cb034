"""The real statements and procedures of the store on a SQLite in memory, without threads: a history is quick."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from quart_app.core.task import NewTask
from quart_app.store import migrate, statements
from quart_app.store.claim_procedure import claim, claim_suspects
from quart_app.store.lanes import SORT
from quart_app.store.sqlite.transaction import Answer, Call, Transaction, Write, WriterConnection
from quart_app.store.write_calls import enqueue_calls, make_ready_calls
from tests.clock import START

TEXTS = [migration.text for migration in migrate.find("sqlite")]


class LaneStore:
    """`most_of_one`: as in store/claims.py."""

    def __init__(self, slots: int, most_of_one: int = 2**31) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, factory=WriterConnection)
        for text in TEXTS:
            self._connection.executescript(text)
        self._statements = statements.load("sqlite")
        self._started: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._turns = {"slots": slots, "most_of_one": most_of_one}
        self.now = START
        self.up = 1_000_000
        self.worker = "w1"

    def close(self) -> None:
        self._connection.close()

    def write(self, *calls: Call) -> Answer:
        transaction = Transaction([Write(calls, None, None, None)], self._statements)  # type: ignore[arg-type]
        transaction.run(self._connection.execute, lambda: self._connection.in_transaction)
        return transaction.answers[0]

    def sql(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(text, params).fetchall()

    def enqueue(self, kind: str, owner: str = "", queue: str = "default", priority: int = 0, args: str = "{}") -> str:
        task = NewTask(
            id=f"t{next(self._ids)}",
            kind=kind,
            args=args,
            queue=queue,
            owner=owner,
            priority=priority,
            created_at=self.now,
            run_at=self.now,
            max_attempts=9,
            timeout_ms=1000,
        )
        self.write(*enqueue_calls(task), SORT)
        return task.id

    def claim(self, room: Mapping[str, int]) -> tuple[list[tuple[Any, ...]], list[str], list[str], int | None]:
        """The claimed rows; the queues to look at again; those held back; when the next gate opens."""
        rows = self.write(Call("claim", params=self._claims(room=room), procedure=claim))[0]
        if rows and rows[-1][0] is None:
            return rows[:-1], rows[-1][1], rows[-1][2], rows[-1][3]
        return rows, [], [], None

    def claim_suspects(self, limit: int) -> list[tuple[Any, ...]]:
        return self.write(
            Call("claim_suspects", params=self._claims(least=2, most=1000, limit=limit), procedure=claim_suspects)
        )[0]

    def _claims(self, **more: object) -> dict[str, object]:
        by = {"worker": self.worker, "code_version": None, "started": self._started, **self._turns}
        return {**by, "now": self.now, "up": self.up, **more}

    def end(self, verb: str, task_id: str, fence: int, **more: object) -> None:
        """`complete`, `fail`, `retry`, `suspend`, `crash` …"""
        row = {"id": task_id, "fence": fence, "at": self.now, "result": "1", "waiting_for": None, "died_at": self.now}
        self.write(Call(verb, {**row, **more}, key=task_id))

    def wake(self) -> None:
        self.write(*make_ready_calls(self.now + 10**9, 1000, None))

    def rerun(self, task_id: str) -> None:
        self.write(Call("rerun", {"id": task_id, "at": self.now}, key=task_id), SORT)

    def change(self, task_id: str, queue: str, args: str) -> None:
        names = ("priority", "max_attempts", "timeout_ms", "run_at", "tags")
        params = {**dict.fromkeys(names), "id": task_id, "queue": queue, "args": args, "now": self.now}
        self.write(Call("change", params=params, key=task_id), SORT)

    def prune(self) -> None:
        self.write(Call("prune_lanes", params={"limit": 1000}))
        gates = msgspec.json.encode([gate for (gate,) in self.sql("SELECT gate FROM gates WHERE lanes = 0")]).decode()
        self.write(Call("prune_gates", params={"gates": gates, "up": self.up}))
        self.write(Call("prune_counters", params={"limit": 1000}))

    def begin(self) -> None:
        """Another process begins."""
        self.write(Call("age_starts", params={"now": self.now, "up": self.up}), Call("forget_openings", params={}))

    def pause(self, name: str, queue: bool, paused: bool) -> None:
        if queue:
            self.write(Call("pause_queue", params={"queue": name, "paused": int(paused)}))
        elif paused:
            self.write(Call("pause_kind", params={"kind": name}))
        else:
            self.write(Call("resume_kind", params={"kind": name}), Call("drop_resumed_kind", params={"kind": name}))
            self.write(Call("resume_lanes", params={"gate": f"pause:{name}", "limit": 1000}))

    def limit(
        self, name: str, concurrency: int | None = None, rate: int | None = None, window_ms: int | None = None
    ) -> None:
        self.write(
            Call(
                "declare_limit", params={"name": name, "concurrency": concurrency, "rate": rate, "window_ms": window_ms}
            )
        )

    def kind(self, name: str, *limits: tuple[str, str | None]) -> None:
        self.write(Call("declare_kind", params={"kind": name, "limits": msgspec.json.encode(limits).decode()}))
