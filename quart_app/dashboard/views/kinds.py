"""`/dashboard/kinds`: the kinds that are registered, and for each a form that starts a task."""

from __future__ import annotations

import secrets
from inspect import cleandoc
from typing import Any, Final

from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.audit_acts import ActName
from quart_app.core.bulk import BULK
from quart_app.core.errors import InvalidArgs, InvalidInput, UnknownKind
from quart_app.core.task import STATUSES
from quart_app.core.task_request import EnqueueOptions, TaskRequest
from quart_app.dashboard import schema_forms
from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import options, parse
from quart_app.web.openapi.kinds import kind_view
from quart_app.web.protection.auth import actor, caller, may_start
from quart_app.web.routes.audit_log import ruling, start_on_record

# The options that the form offers, and what each is for.
OPTIONS: Final = {
    "delay": "Seconds until it may start",
    "priority": "-100 to 100, higher first",
    "tag": "A word to find it by",
    "unique_key": "Another task with this key is not made while this one has not ended",
}
SAID: Final[dict[str, parse.Reader]] = {"said": parse.text(0, 50)}
KEPT: Final[dict[str, parse.Reader]] = {**SAID, "like": parse.task_id}


class KindPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        self._frame.add(made, "/dashboard/kinds", self.find)
        self._frame.add(made, "/dashboard/kinds/<kind>", self.show)
        self._frame.add(made, "/dashboard/kinds/<kind>/start", self.start, "write", "POST")
        self._frame.add(made, "/dashboard/kinds/<kind>/pause", self.pause, "admin", "POST")
        self._frame.add(made, "/dashboard/kinds/<kind>/resume", self.resume, "admin", "POST")

    async def find(self) -> Response:
        request, state = this_request(), self._state
        parse.query(request, SAID)
        reader = caller(request)
        kinds = [kind for kind in state.service.registry if reader.is_for(kind.name, kind.options.scope)]
        paused = await state.claim_limits.paused_kinds()
        counts: dict[str, dict[str, int]] = {}
        if reader.sees is None:
            for one in await state.service.counts():
                of_kind = counts.setdefault(one.kind, dict.fromkeys(STATUSES, 0))
                of_kind[one.status] += one.n
        views = [kind_view(kind, kind.name in paused) for kind in sorted(kinds, key=lambda kind: kind.name)]
        return self._frame.page("kinds.html", "Kinds", kinds=views, counts=counts if reader.sees is None else None)

    async def show(self, kind: str) -> Response:
        query = parse.query(this_request(), KEPT)
        sent: dict[str, str] = {}
        if "like" in query:
            task = await self._state.service.get(query["like"], caller(this_request()).sees)
            if task.kind == kind and task.args is not None:
                sent = _as_sent(codec.loads(task.args))
        return await self._page(kind, sent)

    async def _page(
        self, kind: str, sent: dict[str, str], wrong: list[tuple[str, str]] | None = None, status: int = 200
    ) -> Response:
        request, state = this_request(), self._state
        found = state.service.registry.get(kind)
        if found is None or not caller(request).is_for(found.name, found.options.scope):
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        fields = schema_forms.fields_of(found, sent, wrong or ())
        # A second press of the button, or a reload, must not make a second task.
        key = sent.get("key") or secrets.token_urlsafe(16)
        return self._frame.page(
            "kind.html",
            found.name,
            status,
            kind=kind_view(found, found.name in await state.claim_limits.paused_kinds()),
            about=cleandoc(found.__doc__ or ""),
            fields=fields,
            wrong=schema_forms.others(wrong or (), fields),
            options=[(name, text, sent.get(f"option.{name}", "")) for name, text in OPTIONS.items()],
            key=key,
            may_start=may_start(request, found.name) and found.name != BULK,
            bulk=found.name == BULK,
        )

    async def start(self, kind: str) -> Response:
        sent = await self._frame.form()
        request, state = this_request(), self._state
        found = state.service.registry.get(kind)
        if found is None or not caller(request).is_for(found.name, found.options.scope):
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        try:
            args = schema_forms.args_of(schema_forms.fields_of(found, sent))
            asked = [TaskRequest(kind, args, self._options(sent))]
            recorded = ruling(state, request, kind)
            (made,) = await (start_on_record(state, request, asked) if recorded else state.service.accept(asked))
        except InvalidArgs as error:
            return await self._page(kind, sent, list(error.errors), 422)
        except InvalidInput as error:
            return await self._page(kind, sent, [("", str(error))], 422)
        return self._frame.go(f"dashboard/tasks/{made.id}", "duplicate" if made.duplicate else "started")

    def _options(self, sent: dict[str, str]) -> EnqueueOptions:
        """Raises InvalidInput."""
        given: dict[str, Any] = {}
        for name in OPTIONS:
            if text := sent.get(f"option.{name}", "").strip():
                given[name] = options.OPTIONS[name](name, text)
        if "tag" in given:
            given["tags"] = (given.pop("tag"),)
        key = sent.get("key", "")
        parse.check_key("key", key)
        return EnqueueOptions(**given, idempotency_key=f"dashboard-{key}", owner=caller(this_request()).name)

    async def pause(self, kind: str) -> Response:
        return await self._pause(kind, "kind.pause")

    async def resume(self, kind: str) -> Response:
        return await self._pause(kind, "kind.resume")

    async def _pause(self, kind: str, name: ActName) -> Response:
        await self._frame.form()
        if self._state.service.registry.get(kind) is None:
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        paused = name == "kind.pause"
        act = self._state.audit_log.act(name, actor(this_request()), kind)
        await self._state.audit_log.done(act, self._state.claim_limits.pause_kind(kind, paused))
        return self._frame.go(f"dashboard/kinds/{kind}", "paused" if paused else "resumed")


def _as_sent(args: dict[str, Any]) -> dict[str, str]:
    """The args of a task as a form would send them."""
    return {
        schema_forms.BEFORE + name: value if isinstance(value, str) else codec.compact(value)
        for name, value in args.items()
        if value is not None
    }
