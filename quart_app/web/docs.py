"""What the API is: `/openapi.json`, `/docs`, `/kinds`."""

from __future__ import annotations

import hashlib
import importlib.util
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from quart import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from quart_app.core.errors import UnknownKind
from quart_app.core.keys import Caller
from quart_app.web import parse, render
from quart_app.web.auth import caller
from quart_app.web.door import Door, this_request
from quart_app.web.files_in_memory import FilesInMemory
from quart_app.web.openapi import document, shapes
from quart_app.web.openapi.texts import FILES
from quart_app.web.tasks import known_versions

if TYPE_CHECKING:
    from quart_app.runner.registry import TaskKind

MAX_DOCUMENTS: Final = 32  # in memory; a server has few kinds of readers
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
    def __init__(self, door: Door) -> None:
        self._door = door
        self._files = FilesInMemory(door)
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
        return render.answer(shapes.Kinds([_kind(kind) for kind in kinds]))

    async def kind(self, kind: str) -> Response:
        parse.query(this_request(), {})
        found = self._door.service.registry.get(kind)
        if found is None or not caller(this_request()).is_for(found.name, found.options.scope):
            raise UnknownKind(f"no kind {kind[:100]!r} is registered")
        return render.answer(_kind(found))

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
        """What the reader may use, and its version; made once for all who may the same."""
        of = (reader.scopes, reader.kinds)
        if (found := self._documents.get(of)) is not None:
            return found
        if len(self._documents) >= MAX_DOCUMENTS:
            self._documents.clear()
        kinds = self._shown(reader) if "write" in reader.scopes else ()
        made = msgspec.json.encode(
            document.build(current_app.url_map.iter_rules(), kinds, self._door.prefix, reader.scopes)
        )
        self._documents[of] = found = made, hashlib.sha256(made).hexdigest()[:16]
        return found

    def _shown(self, reader: Caller) -> list[TaskKind[..., Any]]:
        return [kind for kind in self._door.service.registry if reader.is_for(kind.name, kind.options.scope)]

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


def _kind(kind: TaskKind[..., Any]) -> shapes.Kind:
    schema, definitions = kind.schema()
    options = kind.options
    return shapes.Kind(
        kind=kind.name,
        description=cleandoc(kind.__doc__ or ""),
        executor=kind.executor,
        args_schema={**schema, "$defs": definitions} if definitions else schema,
        options=shapes.KindOptions(
            queue=options.queue,
            priority=options.priority,
            max_attempts=options.max_attempts,
            backoff=(options.backoff.first, options.backoff.factor, options.backoff.cap),
            timeout=options.timeout,
            expires=options.expires,
            retention=options.retention,
        ),
    )


def _swagger_ui() -> Path:
    """The folder of Swagger UI in the package that ships it; the package itself (a Flask blueprint) is not imported."""
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise NotFound
    return Path(spec.origin).parent / "dist"
