"""`GET /tasks/<id>/history`, made in pieces: thousands of events take a tenth of a second, and the event loop has other
callers. One history of a caller is made at a time, so a caller that asks for many does not delay others."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from quart import Response

from quart_app.core.size_budget import SizeBudget
from quart_app.core.task import ErrorRecord, Event, StepRecord
from quart_app.service.tasks import MAX_HISTORY
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import caller, name_or_peer

MAX_BYTES: Final = 4 * 2**20  # of documents in one history, which shows those of log lines twice
READ: Final = 250  # events in one read of the store, because its thread delays the loop
AT_ONCE: Final = 16  # histories of different callers, each of up to MAX_BYTES
PIECE: Final = 50  # events rendered before the loop serves other callers
PAGE: Final[dict[str, parse.Reader]] = {"after": parse.sequence, "limit": parse.integer(1, MAX_HISTORY)}


class HistoryView:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def history(self, task_id: str) -> Response:
        request = this_request()
        query = parse.query(request, PAGE)
        after, limit = query.get("after"), query.get("limit", MAX_HISTORY)
        turn = self._turns.setdefault(name_or_peer(request), asyncio.Lock())
        async with turn, self._at_once:
            return await self._page(task_id, caller(request).sees, after, limit)

    async def _page(self, task_id: str, owner: str | None, after: int | None, limit: int) -> Response:
        """Only the first page, without `after`, has attempts and steps."""
        service, budget = self._state.service, SizeBudget(MAX_BYTES)
        errors: list[ErrorRecord] = []
        steps: list[StepRecord] = []
        if after is None:
            errors, steps = await service.history(task_id, owner, budget)
        else:
            await service.get(task_id, owner)
        pieces = _Pieces()
        last, left, read = after or 0, limit, READ
        while left and read == READ and not budget.spent:
            events = await service.events(task_id, last, min(READ, left), budget)
            read, left = len(events), left - len(events)
            for start in range(0, read, PIECE):
                pieces.add(events[start : start + PIECE])
                await asyncio.sleep(0)
            last = events[-1].seq if events else last
        truncated = budget.spent or not left
        following = f"{self._state.prefix}/tasks/{task_id}/history?after={last}"
        if "limit" in this_request().args:
            following += f"&limit={limit}"
        document = {
            "attempts": render.attempts(pieces.statuses, errors) if after is None else [],
            "steps": [render.step(one) for one in steps],
            "events": msgspec.Raw(b"[%b]" % b",".join(pieces.events)),
            "logs": msgspec.Raw(b"[%b]" % b",".join(pieces.logs)),
            "truncated": truncated,
            "next": following if truncated else None,
        }
        return render.answer(document, headers=render.next_link(following if truncated else None))


class _Pieces:
    def __init__(self) -> None:
        self.statuses: list[Event] = []
        self.events: list[bytes] = []
        self.logs: list[bytes] = []

    def add(self, events: list[Event]) -> None:
        self.statuses += [one for one in events if one.name == "status"]
        logs: list[Any] = [render.log_line(one) for one in events if one.name == "log"]
        for many, pieces in (([render.event(one) for one in events], self.events), (logs, self.logs)):
            if many:
                pieces.append(msgspec.json.encode(many)[1:-1])
