"""API keys over HTTP, for callers with the scope admin: list, add, rotate, revoke."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from quart import Blueprint, Response

from quart_app.core import json_pointers
from quart_app.core.audit_acts import Actor
from quart_app.core.errors import InvalidArgs
from quart_app.core.keys import DEFAULT_SCOPES, NAME_PATTERN, Key, Scope
from quart_app.service.revocation import cancel_all
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.protection.auth import actor, require

MAX_BODY: Final = 16_384
MAX_LIFE: Final = 315_360_000  # seconds: ten years
DAY: Final = 86_400
CANCEL: Final[dict[str, parse.Reader]] = {"cancel": parse.flag}

Kind = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}\Z")]
T = TypeVar("T")


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /keys`."""

    name: Annotated[str, Meta(pattern=rf"^{NAME_PATTERN}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=3)] = DEFAULT_SCOPES
    expires: Annotated[float, Meta(gt=0, le=MAX_LIFE, description="Seconds until it opens nothing any more")] | None = (
        None
    )
    kinds: (
        Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=100, description="Those that it may start")] | None
    ) = None


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /keys/<name>/rotate`."""

    grace: Annotated[float, Meta(ge=0, le=MAX_LIFE, description="Seconds for which the secret before is good")] = DAY


class KeyViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_keys", __name__)
        made.add_url_rule("/keys", "find", self.find)
        made.add_url_rule("/keys", "add", self.add, methods=["POST"])
        made.add_url_rule("/keys/<name>", "revoke", self.revoke, methods=["DELETE"])
        made.add_url_rule("/keys/<name>/rotate", "rotate", self.rotate, methods=["POST"])
        return made

    async def find(self) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        return render.answer({"keys": [_view(key) for key in await self._state.keys.list()]})

    async def add(self) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        asked = await self._body(NewKey)
        scopes = tuple(dict.fromkeys(asked.scopes))
        key, text = await self._state.keys.add(asked.name, scopes, actor(request), asked.expires, asked.kinds or ())
        return _shown_once(key, text, 201)

    async def rotate(self, name: str) -> Response:
        request = this_request()
        require(request, "admin")
        parse.query(request, {})
        asked = await self._body(Rotation)
        key, text = await self._state.keys.rotate(name, asked.grace, actor(request))
        return _shown_once(key, text, 200)

    async def revoke(self, name: str) -> Response:
        """Revoke a key. With `cancel` its tasks are cancelled, too; a repeated request goes on with those left."""
        request = this_request()
        require(request, "admin")
        query = parse.query(request, CANCEL)
        cancel = query.get("cancel", False)
        await self._state.keys.revoke(name, actor(request), "its tasks are cancelled, too" if cancel else "")
        if not cancel:
            return render.empty(204)
        cancelled = await asyncio.shield(self._cancel_all(name, actor(request)))
        return render.answer({"name": name, "cancelled": cancelled})

    async def _cancel_all(self, name: str, who: Actor) -> int:
        cancelled = await cancel_all(self._state.service, name)
        if cancelled:
            act = self._state.audit_log.act("task.cancel", who, "", f"{cancelled} of {name}, with its key")
            await self._state.audit_log.put([act])
        return cancelled

    async def _body(self, shape: type[T]) -> T:
        body = await parse.json_body(this_request(), MAX_BODY)
        try:
            return msgspec.convert({} if body is parse.NOTHING else body, shape)
        except msgspec.ValidationError as error:
            raise InvalidArgs([json_pointers.explain(str(error))]) from None


def _shown_once(key: Key, text: str, status: int) -> Response:
    shown = {"name": key.name, "scopes": key.scopes, "key": text, **_limits(key)}
    return render.answer(shown, status, {"Cache-Control": "no-store"})


def _view(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "created_at": render.moment(key.created_at),
        "revoked_at": render.moment(key.revoked_at),
        "last_used_at": render.moment(key.last_used_at),
        "source": key.source,
        **_limits(key),
    }


def _limits(key: Key) -> dict[str, Any]:
    return {
        "kinds": key.kinds or None,
        "expires_at": render.moment(key.expires_at),
        "old_until": render.moment(key.old_until),
    }
