"""The description of the API: `/openapi.json`, `/docs`, `/kinds`."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from quart import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from quart_app.core.errors import UnknownKind
from quart_app.core.keys import Caller
from quart_app.web.app_state import AppState, this_request
from quart_app.web.messages import parse, render
from quart_app.web.messages.static_files import FilesInMemory
from quart_app.web.openapi import document, shapes_of_kinds
from quart_app.web.openapi.kinds import kind_view
from quart_app.web.openapi.texts import FILES
from quart_app.web.protection.auth import caller
from quart_app.web.routes.tasks import known_versions

if TYPE_CHECKING:
    from quart_app.engine.kind import TaskKind

MAX_DOCUMENTS: Final = 32  # in memory; callers of a server have few different sets of rights
_OURS: Final = Path(document.__file__).parent
# Swagger UI's style sheet has its images inside.
_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class DocsViews:
    def __init__(self, state: AppState) -> None:
        self._state = state
        self._files = FilesInMemory(state)
        self._documents: dict[tuple[frozenset[str], frozenset[str] | None], tuple[bytes, str]] = {}

    def blueprint(self) -> Blueprint:
        made = Blueprint("quart_app_docs", __name__)
        made.add_url_rule("/kinds", "kinds", self.kinds)
        made.add_url_rule("/kinds/<kind>", "kind", self.kind)
        made.add_url_rule("/openapi.json", "document", self.document)
        made.add_url_rule("/docs", "page", self.page, strict_slashes=False)
        made.add_url_rule("/docs/<file>", "file", self.file)
        return made

    async def kinds(self) -> Response:
        parse.query(this_request(), {})
        kinds = sorted(self._shown(caller(this_request())), key=lambda kind: kind.name)
        paused = await self._state.claim_limits.paused_kinds()
        return render.answer(shapes_of_kinds.Kinds([kind_view(kind, kind.name in paused) for kind in kinds]))

    async def kind(self, kind: str) -> Response:
        parse.query(this_request(), {})
        found = self._state.service.registry.get(kind)
        if found is None or not caller(this_request()).is_for(found.name, found.options.scope):
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        return render.answer(kind_view(found, kind in await self._state.claim_limits.paused_kinds()))

    async def document(self) -> Response:
        request = this_request()
        parse.query(request, {})
        made, etag = self._document_of(caller(request))
        headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
        known = known_versions(request)
        if known is not None and ("*" in known or etag in known):
            return render.empty(304, headers)
        return render.answer(msgspec.Raw(made), headers=headers)

    def _document_of(self, reader: Caller) -> tuple[bytes, str]:
        """The document of what the caller may use, and its version. Callers with the same rights share one."""
        of = (reader.scopes, reader.kinds)
        if (found := self._documents.get(of)) is not None:
            return found
        if len(self._documents) >= MAX_DOCUMENTS:
            self._documents.clear()
        kinds = self._shown(reader) if "write" in reader.scopes else ()
        made = msgspec.json.encode(
            document.build(
                current_app.url_map.iter_rules(),
                kinds,
                self._state.prefix,
                reader.scopes,
                self._state.service.limited_queues,
            )
        )
        self._documents[of] = found = made, hashlib.sha256(made).hexdigest()[:16]
        return found

    def _shown(self, reader: Caller) -> list[TaskKind[..., Any]]:
        return [kind for kind in self._state.service.registry if reader.is_for(kind.name, kind.options.scope)]

    async def page(self) -> Response:
        if this_request().path.endswith("/"):  # the page's addresses are relative to /docs
            return render.empty(308, {"Location": "../docs"})
        response = await self._files.answer(_OURS / "docs.html", "text/html")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    async def file(self, file: str) -> Response:
        if file not in FILES:
            raise NotFound
        return await self._files.answer((_OURS if file == "start.js" else _swagger_ui()) / file, FILES[file])


def _swagger_ui() -> Path:
    """The folder of Swagger UI in the package that ships it. The package itself (a Flask blueprint) is not imported.
    Raises NotFound when it is not installed."""
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise NotFound
    return Path(spec.origin).parent / "dist"
