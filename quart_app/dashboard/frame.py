"""What all pages share: the templates, the headers, who may see them, and what becomes of errors."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

import jinja2
import msgspec
from quart import Blueprint, Request, Response
from werkzeug.exceptions import NotFound

from quart_app.core.audit_acts import LOCAL
from quart_app.core.errors import Draining, StoreUnavailable
from quart_app.core.version import __version__
from quart_app.dashboard import texts
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, problems
from quart_app.web.messages.problems import Problem
from quart_app.web.protection.auth import PAGES, actor, authenticator, caller, refusal, require
from quart_app.web.protection.request_checks import field
from quart_app.web.protection.session_cookies import Proof, session_of

Scope = Literal["read", "write", "admin"]
View = Callable[..., Awaitable[Response]]

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Cache-Control": "no-store",
    # With no-referrer Chromium would send forms with `Origin: null`, which is another site's.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What a page says after a form: the form leads to `?said=<name>`.
SAID: Final = {
    "cancelled": "The task is cancelled.",
    "asked": "The task is asked to stop; it ends when it hears that.",
    "retried": "The task runs again.",
    "forked": "This is the new task.",
    "signalled": "The signal is sent.",
    "started": "The task is on record.",
    "duplicate": "There is a task with this unique key already: this one.",
    "paused": "Paused: it starts nothing until it is resumed.",
    "resumed": "Resumed.",
    "triggered": "Triggered: this is its task.",
    "changed": "Changed; it holds from now on.",
    "bulk": "This task acts on all of them.",
}
_NAVIGATION: Final = (
    ("Overview", "dashboard", "read"),
    ("Tasks", "dashboard/tasks", "read"),
    ("Kinds", "dashboard/kinds", "read"),
    ("Queues", "dashboard/queues", "admin"),
    ("Limits", "dashboard/limits", "admin"),
    ("Schedules", "dashboard/schedules", "read"),
    ("Errors", "dashboard/errors", "read"),
    ("Waiting", "dashboard/waiting", "read"),
)
_HERE: Final = Path(__file__).parent


class Link(NamedTuple):
    name: str
    address: str
    current: bool


class Frame:
    def __init__(self, state: AppState) -> None:
        self.state = state
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {
            "duration": texts.duration,
            "number": texts.number,
            "size": texts.size,
            "pretty": texts.pretty,
            "short": texts.short,
            "pieces": texts.pieces,
            "plain": texts.plain,
            "clock": texts.clock,
            "moment": texts.moment,
            "segment": functools.partial(quote, safe=""),
            "tags": lambda text: msgspec.json.decode(text, type=list[str]),
            "query": lambda values: urlencode({name: value for name, value in values.items() if value is not None}),
        }

    def add(self, made: Blueprint, rule: str, view: View, needs: Scope = "read", method: str = "GET") -> None:
        """Register a view. `needs`: the scope without which nobody gets there; a page of its own says so."""

        @functools.wraps(view)
        async def shown(**values: Any) -> Response:
            try:
                if (refused := refusal(this_request())) is not None:
                    return await self._turned_away(refused)
                require(this_request(), needs)
                return await view(**values)
            except Exception as error:
                return await self.trouble(error)

        name = f"{method.lower()}_{view.__qualname__.replace('.', '_')}"
        made.add_url_rule(rule, name, shown, methods=[method])

    # --- answers

    def page(self, template: str, title: str, status: int = 200, **values: Any) -> Response:
        request = this_request()
        base, signed_in = self.base(), bool(caller(request).name)
        proof = Proof(request, signed_in)
        now = self.state.runtime.clock.now() if self.state.runtime is not None else 0
        text = self._templates.get_template(template).render(
            title=title,
            base=base,
            csrf=proof.token,
            navigation=self._navigation(base),
            who=self._who(request),
            signed_in=signed_in and session_of(request) is not None,
            may=lambda scope: scope in caller(request).scopes,
            sees_all=bool(caller(request).scopes) and caller(request).sees is None,
            now=now,
            when=lambda at: texts.when(at, now),
            said=SAID.get(request.args.get("said", "")),
            version=__version__,
            address=self.here(),
            fresh=status == 200 and request.method in ("GET", "HEAD"),
            **values,
        )
        response = Response(text, status, headers=HEADERS)
        proof.keep(response, self.path_of_cookies())
        return response

    def base(self) -> str:
        """What leads from this page to the root of the service. Links are relative, because a proxy may serve the app
        below another path and not say so."""
        path = this_request().path.removeprefix(self.state.prefix)
        return "../" * (path.count("/") - 1) or "./"

    def here(self) -> str:
        """The address of this page as a relative link, with its query but without `said`."""
        request = this_request()
        pairs = [(name, value) for name, value in request.args.items(multi=True) if name != "said"]
        path = request.path.rpartition("/")[2]
        return quote(path, safe="") + (f"?{urlencode(pairs)}" if pairs else "")

    def path_of_cookies(self) -> str:
        return f"{this_request().root_path}{self.state.prefix}/"

    def go(self, address: str, said: str | None = None) -> Response:
        """Lead the browser from a form to a page. `address` is below the root of the service."""
        mark = "&" if "?" in address else "?"
        location = self.base() + address + (f"{mark}said={said}" if said else "")
        return Response(b"", 303, {**HEADERS, "Location": location})

    async def form(self) -> dict[str, str]:
        """The fields of a form of ours. Raises Problem 403 for another's, and as `parse.form`."""
        request = this_request()
        sent = await parse.form(request, self.state.settings.max_body)
        Proof(request, bool(caller(request).name)).check(sent.pop("csrf", ""))
        return sent

    # --- refusals and errors

    async def _turned_away(self, refused: Exception) -> Response:
        """The answer to a caller that is not admitted. Who could sign in is led to the page for that."""
        if not isinstance(refused, Problem) or refused.status != 401:
            return await self.trouble(refused)
        request = this_request()
        if request.method == "GET" and field(request, b"sec-fetch-site") == "cross-site":
            # After a link of another site a browser keeps the cookie of the session back. The page asks once more.
            return Response(self._templates.get_template("again.html").render(), headers=HEADERS)
        leads = {"next": self._below_root()} if request.method == "GET" else {}
        return self.go(f"dashboard/sign-in{'?' if leads else ''}{urlencode(leads)}")

    def _below_root(self) -> str:
        request = this_request()
        query = request.query_string.decode("latin-1")
        return request.path.removeprefix(self.state.prefix)[1:] + (f"?{query}" if query else "")

    async def trouble(self, error: Exception) -> Response:
        """A page that says what an answer of the API would say."""
        found = await problems.answer_to(error)
        document = msgspec.json.decode(await found.get_data(as_text=False))
        if isinstance(error, NotFound):
            document |= {"title": "Not found", "detail": "There is no such page here."}
        status = found.status_code
        response = self.page(
            "trouble.html", document["title"], status, document=document, later=isinstance(error, _PASSING)
        )
        for name in ("Retry-After", "Allow", "Connection"):
            if name in found.headers:
                response.headers[name] = found.headers[name]
        return response

    # --- parts

    def _navigation(self, base: str) -> list[Link]:
        """The pages that this caller may open."""
        request = this_request()
        path = request.path.removeprefix(self.state.prefix)[1:]
        scopes = caller(request).scopes
        return [
            Link(name, base + address, path == address or (name != "Overview" and path.startswith(f"{address}/")))
            for name, address, scope in _NAVIGATION
            if scope in scopes
        ]

    def _who(self, request: Request) -> str:
        if refusal(request) is not None:
            return ""
        name = actor(request).name
        return "this machine" if name == LOCAL else caller(request).name or name

    async def sign_in(self, key: str) -> None:
        """Check a key that a form sends. Raises Problem 401, 429."""
        await authenticator(this_request()).check(this_request(), key.encode("utf-8", "replace"))


_PASSING: Final = (Draining, StoreUnavailable)

__all__ = ["HEADERS", "PAGES", "Frame", "Link", "Scope"]
