"""Sign-in with a key, and sign-out."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from quart import Blueprint, Response

from quart_app.dashboard.frame import Frame
from quart_app.web.app_state import this_request
from quart_app.web.messages import parse
from quart_app.web.messages.problems import Problem
from quart_app.web.protection import session_cookies
from quart_app.web.protection.auth import caller, refusal
from quart_app.web.protection.session_cookies import Proof, session_of

MAX_FORM: Final = 8_192
_NEXT: Final = re.compile(r"dashboard(/[A-Za-z0-9._~:/-]*)?(\?[\x21-\x7e]*)?")


class SignInPages:
    """These two answer without a key, so they do not go through `Frame.add`."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._state = frame.state

    def register(self, made: Blueprint) -> None:
        for rule, method, view in (
            ("/dashboard/sign-in", "GET", self.show),
            ("/dashboard/sign-in", "POST", self.sign_in),
            ("/dashboard/sign-out", "POST", self.sign_out),
        ):
            made.add_url_rule(rule, f"{method.lower()}_{view.__name__}", view, methods=[method])

    async def show(self) -> Response:
        leads = _next(this_request().args.get("next", ""))
        refused = refusal(this_request())
        if refused is None:  # signed in, or there are no keys
            return self._frame.go(leads)
        if not isinstance(refused, Problem) or refused.status not in (401, 429):
            return await self._frame.trouble(refused)
        return self._form(leads)

    def _form(self, leads: str, wrong: str = "", status: int = 200) -> Response:
        return self._frame.page("sign_in.html", "Sign in", status, leads=leads, wrong=wrong)

    async def sign_in(self) -> Response:
        request = this_request()
        leads = ""
        try:
            if refusal(request) is None and not caller(request).name:
                return self._frame.go("dashboard")  # there are no keys
            sent = await parse.form(request, MAX_FORM)
            leads = _next(sent.get("next", ""))
            Proof(request, bool(caller(request).name)).check(sent.get("csrf", ""))
            key = sent.get("key", "").strip()
            if not key:
                return self._form(leads, "Enter a key.", 422)
            await self._frame.sign_in(key)
            token, _ = await self._state.sessions.open(key.encode())
            if (before := session_of(request)) is not None:
                await self._state.sessions.close(before)
        except Problem as error:
            if error.status not in (401, 403, 429):
                return await self._frame.trouble(error)
            wrong = {401: "This key opens nothing.", 429: "Too many wrong keys came from here. Wait a few seconds."}
            response = self._form(leads, wrong.get(error.status, error.detail.capitalize() + "."), error.status)
            if error.status == 429:
                response.headers["Retry-After"] = error.headers["Retry-After"]
            return response
        except Exception as error:
            return await self._frame.trouble(error)
        response = self._frame.go(leads)
        session_cookies.sign_in(response, request, token, self._frame.path_of_cookies())
        return response

    async def sign_out(self) -> Response:
        request = this_request()
        try:
            if refusal(request) is None:
                await self._frame.form()
                if (token := session_of(request)) is not None:
                    await self._state.sessions.close(token)
        except Exception as error:
            return await self._frame.trouble(error)
        response = self._frame.go("dashboard/sign-in")
        session_cookies.sign_out(response, request, self._frame.path_of_cookies())
        return response


def _next(text: str) -> str:
    """The page to go to after the sign-in: one of ours, or the first one."""
    inside = _NEXT.fullmatch(text) is not None and not urlsplit(text).netloc and ".." not in text
    return text if inside and "/sign-" not in text else "dashboard"
