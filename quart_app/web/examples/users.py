"""`/users`, `/users/<id>`: rows of the database. `/users/<id>/profile`: three calls to another service at once."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import httpx
import msgspec
from quart import Blueprint, Response

from quart_app.core import codec
from quart_app.core.errors import InvalidInput
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.request_checks import refuse_unasked

PAGE: Final[dict[str, parse.Reader]] = {"limit": parse.integer(1, 200), "cursor": parse.integer(1, 999_999_999)}
PARTS: Final = {"user": "", "posts": "/posts", "comments": "/comments"}
TIMEOUT: Final = 5.0  # seconds for the three calls together
MAX_PART: Final = 1_048_576  # bytes of one answer
MAX_NODES: Final = 100_000  # JSON values of one answer

_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_PLAIN: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class UserViews:
    def __init__(self, state: AppState) -> None:
        self._state = state

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_users", __name__)
        made.add_url_rule("/users", "find", self.find)
        made.add_url_rule("/users/<user_id>", "show", self.show)
        made.add_url_rule("/users/<user_id>/profile", "profile", self.profile)
        return made

    async def find(self) -> Response:
        query = parse.query(this_request(), PAGE)
        limit = query.get("limit", 100)
        found = await self._state.started.users.users(query.get("cursor", 0), limit + 1)
        if len(found) <= limit:
            return render.answer(found)
        following = f"{self._state.prefix}/users?limit={limit}&cursor={found[limit - 1].id}"
        return render.answer(found[:limit], headers=render.next_link(following))

    async def show(self, user_id: str) -> Response:
        parse.query(this_request(), {})
        user = await self._state.started.users.user(_id(user_id))
        if user is None:
            raise _nobody()
        return render.answer(user)

    async def profile(self, user_id: str) -> Response:
        """Answers with the results of the three calls. A part whose call failed is null, and `errors` says why. When
        all calls failed, the answer is an error."""
        request = this_request()
        parse.query(request, {})
        refuse_unasked(request)
        upstream = f"{self._state.settings.profile_url.rstrip('/')}/users/{_id(user_id)}"
        http = self._state.started.http
        ends = asyncio.get_running_loop().time() + TIMEOUT
        # A client that hangs up cancels this view, and with it the calls.
        got = await asyncio.gather(*(_fetch(http, upstream + path, ends) for path in PARTS.values()))
        answers = dict(zip(PARTS, got, strict=True))
        errors = {name: str(one) for name, one in answers.items() if isinstance(one, _Failed)}
        if len(errors) == len(PARTS):
            late = all(isinstance(one, _TimedOut) for one in got)
            detail = "; ".join(f"{name}: {why}" for name, why in errors.items())
            raise (
                Problem(504, "upstream-timeout", "Gateway Timeout", detail)
                if late
                else Problem(502, "upstream-error", "Bad Gateway", detail)
            )
        document: dict[str, Any] = {
            name: None if isinstance(one, _Failed) else msgspec.Raw(one) for name, one in answers.items()
        }
        return Response(
            msgspec.json.encode({**document, "errors": errors} if errors else document),
            content_type="application/json",
        )


class _Failed(Exception):
    """A call failed; the text of the error is for the client."""


class _TimedOut(_Failed):
    pass


async def _fetch(http: httpx.AsyncClient, url: str, ends: float) -> bytes | _Failed:
    """The JSON text of one answer, or why there is none. `ends`: the event loop's time at which to give up."""
    try:
        async with asyncio.timeout_at(ends), http.stream("GET", url, headers=_PLAIN) as response:
            return await _read(response)
    except _Failed as error:
        return error
    except httpx.PoolTimeout:
        return _TimedOut("not asked: as many calls as allowed wait for their answers")
    except (TimeoutError, httpx.TimeoutException):
        return _TimedOut(f"no answer within {TIMEOUT:g} s")
    except (httpx.HTTPError, httpx.InvalidURL):
        return _Failed("cannot be reached, or broke off")


async def _read(response: httpx.Response) -> bytes:
    """The JSON text of an answer. Raises _Failed for anything but plain JSON: a redirect, a compressed answer (which
    may become a thousand times as large), and JSON that another parser could read differently."""
    if response.status_code != 200:
        raise _Failed(f"answered {response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Failed("answered with a Content-Encoding that nobody asked for")
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > MAX_PART:
            raise _Failed(f"answered more than {MAX_PART} bytes")
    try:
        codec.decode(bytes(data), MAX_NODES)
    except InvalidInput as error:
        raise _Failed(f"answered no JSON that can be passed on: {error.detail}") from None
    return bytes(data)


def _id(text: str) -> int:
    if not _ID.fullmatch(text):
        raise _nobody()
    return int(text)


def _nobody() -> Problem:
    return Problem(404, "user-not-found", "User not found")
