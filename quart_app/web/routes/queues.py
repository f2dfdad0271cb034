"""Queues over HTTP, for callers with the scope admin: list, limit, pause and resume them; pause and resume kinds."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from quart import Blueprint, Response

from quart_app.core.audit_acts import ActName
from quart_app.core.claim_limits import QueueUse
from quart_app.core.errors import UnknownKind
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.openapi.kinds import kind_view
from quart_app.web.protection.auth import actor, require
from quart_app.web.routes.limits import Concurrency, RateText, body, changes, page, read_rate, text_of

PAGE: Final[dict[str, parse.Reader]] = {"limit": parse.integer(1, 200), "cursor": parse.name_text}


class QueueChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `PATCH /queues/<name>`: null takes back what was set."""

    concurrency: Concurrency | UnsetType | None = UNSET
    rate_limit: RateText | UnsetType | None = UNSET


class QueueViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_queues", __name__)
        for rule, method, view in (
            ("/queues", "GET", self.find),
            ("/queues/<queue>", "GET", self.show),
            ("/queues/<queue>", "PATCH", self.change),
            ("/queues/<queue>/pause", "POST", self.pause),
            ("/queues/<queue>/resume", "POST", self.resume),
            ("/kinds/<kind>/pause", "POST", self.pause_kind),
            ("/kinds/<kind>/resume", "POST", self.resume_kind),
        ):
            made.add_url_rule(rule, view.__name__, view, methods=[method])
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        query = parse.query(request, PAGE)
        limit = query.get("limit", 50)
        found = await self._state.claim_limits.queues(query.get("cursor", ""), limit + 1)
        return page(f"{self._state.prefix}/queues", "queues", [self._view(one) for one in found], limit, query)

    async def show(self, queue: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        return render.answer(self._view(await self._state.claim_limits.queue(queue)))

    async def change(self, queue: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        queue = parse.name_text("the name of the queue", queue)
        asked = await body(request, QueueChange)
        rate = read_rate(asked.rate_limit, "/rate_limit") if isinstance(asked.rate_limit, str) else asked.rate_limit
        doing = self._state.claim_limits.change_queue(queue, asked.concurrency, rate)
        act = self._state.audit_log.act("queue.change", actor(request), queue, changes(asked))
        return render.answer(self._view(await self._state.audit_log.done(act, doing)))

    async def pause(self, queue: str) -> Response:
        return await self._pause(queue, "queue.pause")

    async def resume(self, queue: str) -> Response:
        return await self._pause(queue, "queue.resume")

    async def _pause(self, queue: str, name: ActName) -> Response:
        request = this_request()
        require(request, "admin")
        await parse.nothing(request)
        queue = parse.name_text("the name of the queue", queue)
        doing = self._state.claim_limits.pause_queue(queue, name == "queue.pause")
        act = self._state.audit_log.act(name, actor(request), queue)
        return render.answer(self._view(await self._state.audit_log.done(act, doing)))

    async def pause_kind(self, kind: str) -> Response:
        return await self._pause_kind(kind, "kind.pause")

    async def resume_kind(self, kind: str) -> Response:
        return await self._pause_kind(kind, "kind.resume")

    async def _pause_kind(self, kind: str, name: ActName) -> Response:
        request = this_request()
        require(request, "admin")
        await parse.nothing(request)
        found = self._state.service.registry.get(kind)
        if found is None:
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        paused = name == "kind.pause"
        act = self._state.audit_log.act(name, actor(request), kind)
        await self._state.audit_log.done(act, self._state.claim_limits.pause_kind(kind, paused))
        return render.answer(kind_view(found, paused))

    def _view(self, one: QueueUse) -> dict[str, Any]:
        age = 0 if one.oldest_at is None else max(self._state.service.now() - one.oldest_at, 0)
        return {
            "name": one.name,
            "paused": one.paused,
            "waiting": one.waiting,
            "ready": one.ready,
            "delayed": one.delayed,
            "processing": one.processing,
            "oldest_age": render.number(age / 1000),
            "slots_wanted": one.slots_wanted,
            "concurrency": one.concurrency,
            "rate_limit": text_of(one.rate),
        }
