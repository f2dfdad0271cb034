"""The OpenAPI 3.1 document, made from the routing, the table of operations and the registered kinds.

msgspec alone makes it, because it has the kinds' types anyway. quart-schema would need its decorators on views that
parse for themselves, and cannot describe one operation for each kind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from werkzeug.routing import Rule

from quart_app.core.errors import InvalidArgs
from quart_app.core.schema import portable
from quart_app.core.version import __version__
from quart_app.web.messages import options, parse
from quart_app.web.openapi import operations, shapes, texts
from quart_app.web.openapi.examples import example
from quart_app.web.openapi.operation import ALWAYS, JSON, WITH_KEY, Answer, Operation
from quart_app.web.routes.tasks import MAX_BATCH

if TYPE_CHECKING:
    from quart_app.engine.kind import TaskKind

Json = dict[str, Any]
BLUEPRINTS: Final = "quart_app_"
SCHEMAS: Final = "#/components/schemas/"
_WHEN: Final = "Asked for where the server has keys"
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": _WHEN},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": _WHEN},
}
_CREATE: Final = "tasks.create"  # described once for each kind
_OF_ADMINS: Final = ("keys.", "acts.", "limits.", "queues.")
_STARTING: Final = ("quickstart.start", "cats.")  # a GET of these starts a task
_OF_THE_KIND: Final = ("priority", "queue", "max_attempts", "timeout", "expires")
_TAGS: Final = {"type": "array", "items": parse.tag.schema, "maxItems": options.MAX_TAGS}
_VARIABLE: Final = re.compile(r"<(?:[^:<>]*:)?([^<>]+)>")
_ABOUT: Final = """
A durable task service: a task is on disk before the answer is sent, and goes on after a crash or a restart.

Start a task with `POST /tasks/{kind}`, look at it with `GET /tasks/{task_id}`, or wait for its end with `?wait=30`.
Every error is a problem document (RFC 9457). Every GET has its HEAD.
"""


def build(
    rules: Iterable[Rule],
    kinds: Iterable[TaskKind[..., Any]],
    prefix: str,
    scopes: Collection[str],
    limited: Collection[str],
) -> Json:
    """The OpenAPI document. `rules`: those of the app; rules of other blueprints are left out. `kinds` and `scopes`:
    those that the reader may use. `prefix`: the mount, "" or "/x". `limited`: queues whose kinds no client may move to
    another queue."""
    routes = [route for route in _routes(rules, prefix) if _needed(*route[1:]) in (*scopes, None)]
    schemas = _Schemas()
    described = [
        schemas.kind(kind, kind.options.queue in limited) for kind in sorted(kinds, key=lambda kind: kind.name)
    ]
    paths: dict[str, Json] = {}
    for path, method, endpoint in routes:
        if endpoint == _CREATE:
            for one in described:
                paths.setdefault(path.replace("{kind}", one.kind.name), {})[method] = _create(one, schemas)
        elif endpoint in operations.OPERATIONS:
            operation = _operation(endpoint, operations.OPERATIONS[endpoint], path, schemas)
            if endpoint == "tasks.create_many":
                operation["requestBody"] = _batch(described, schemas)
            paths.setdefault(path, {})[method] = operation
    for path, _, endpoint in routes:
        if endpoint in operations.FORMS and path in paths:
            _take_form(paths[path]["post"], operations.FORMS[endpoint])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "quart_app",
            "version": __version__,
            "description": cleandoc(_ABOUT),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [*({name: []} for name in _SECURITY), {}],
        "servers": [{"url": prefix or "/"}],
        "tags": [
            {"name": name}
            for name in ("Kinds", "Tasks", "Queues", "Schedules", "Keys", "Server", "Documentation", "Examples")
        ],
        "paths": dict(sorted(paths.items())),
        "components": _components(paths, schemas),
    }


def _needed(method: str, endpoint: str) -> str | None:
    """The scope without which a route answers 401 or 403 to every request; None: the route needs no key."""
    described = operations.OPERATIONS.get(endpoint)
    if described is not None and not described.needs_key:
        return None
    if endpoint.startswith(_OF_ADMINS):
        return "admin"
    return "read" if method == "get" and not endpoint.startswith(_STARTING) else "write"


class _Kind(NamedTuple):
    """A kind, a reference to the schema of its args, whether it needs args, an example of args that it accepts (or
    None), and the queue in which it must stay (or None)."""

    kind: TaskKind[..., Any]
    args: Json
    needs_args: bool
    example: Json | None
    queue: str | None

    def option(self, name: str, schema: Json) -> Json:
        return {"const": self.queue} if name == "queue" and self.queue is not None else schema


class _Schemas:
    """Component schemas, collected while operations refer to them."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}

    def of(self, shape: type | Json) -> Json:
        if isinstance(shape, dict):
            return shape
        (schema,), found = msgspec.json.schema_components((shape,), ref_template=SCHEMAS + "{name}")
        self.components |= portable(found)
        return schema

    def kind(self, kind: TaskKind[..., Any], stays: bool) -> _Kind:
        """Add the schemas of a kind. Its types are named after it, so that types of two kinds cannot be confused."""
        template = f"{kind.name}.Type.{{name}}"  # no kind has a capital letter
        schema, found = kind.schema(SCHEMAS + template)
        self.components |= {template.format(name=name): one for name, one in found.items()}
        self.components[kind.name] = {"title": kind.name, **schema}
        shown = example(schema, {SCHEMAS + name: one for name, one in self.components.items()})
        try:
            kind.parse(shown)
        except InvalidArgs:
            shown = None
        if "upload" in kind.marks.values():  # an upload is in the folder of one server, so there is no example
            shown = None
        queue = kind.options.queue if stays else None
        return _Kind(kind, {"$ref": SCHEMAS + kind.name}, bool(schema.get("required")), shown, queue)


def _routes(rules: Iterable[Rule], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield (path template, method, endpoint) of each of our routes. OpenAPI cannot describe a WebSocket."""
    for rule in rules:
        if rule.endpoint.startswith(BLUEPRINTS) and not rule.websocket:
            path = _VARIABLE.sub(r"{\1}", rule.rule.removeprefix(prefix))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield path, method.lower(), rule.endpoint.removeprefix(BLUEPRINTS)


def _operation(name: str, one: Operation, path: str, schemas: _Schemas) -> Json:
    variables = re.findall(r"{(\w+)}", path)
    described: Json = {
        "operationId": name,
        "tags": [one.tag],
        "summary": one.summary,
        "parameters": [
            *(_parameter("path", name, *texts.PATH_PARAMETERS[name]) for name in variables),
            *(_parameter("query", name, one.texts[name], reader.schema) for name, reader in one.query.items()),
            *({"$ref": f"#/components/parameters/{name}"} for name in one.headers),
        ],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in one.answers.items()},
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in sorted({*ALWAYS, *one.problems, *WITH_KEY * one.needs_key})
            },
        },
    }
    if one.text:
        described["description"] = one.text
    if one.form:
        described["requestBody"] = {"required": True, "content": _form(one.form)}
    if one.body is not None:
        schema = schemas.of(one.body) | ({"not": one.never} if one.never else {})
        described["requestBody"] = _body(schema, one.needs_body or _has_required(one.body), None)
    if not one.needs_key:
        described["security"] = []
    return described


def _has_required(shape: type | Json) -> bool:
    return not isinstance(shape, dict) and any(field.required for field in msgspec.structs.fields(shape))


def _create(one: _Kind, schemas: _Schemas) -> Json:
    kind = one.kind
    text = cleandoc(kind.__doc__ or "")
    described = _operation(f"create.{kind.name}", operations.CREATE, "", schemas)
    described["summary"] = text.partition("\n")[0] or f"Start a task of the kind {kind.name}"
    if text:
        described["description"] = text
    defaults = msgspec.structs.asdict(kind.options)
    for name, reader in options.OPTIONS.items():
        if name in _OF_THE_KIND:
            given = {} if defaults[name] is None else {"default": defaults[name]}
            parameter = _parameter("query", name, texts.TEXTS[name], {**one.option(name, reader.schema), **given})
        else:
            parameter = {"$ref": f"#/components/parameters/{name}"}
        described["parameters"].append(parameter)
    described["responses"] |= {
        "200": {"$ref": "#/components/responses/ended"},
        "202": {"$ref": "#/components/responses/created"},
    }
    described["requestBody"] = _body(one.args, one.needs_args, one.example)
    return described


def _batch(kinds: list[_Kind], schemas: _Schemas) -> Json:
    """The body of a batch: one entry or an array of entries. There is a schema of an entry for each kind."""
    for one in kinds:
        schemas.components[f"NewTask.{one.kind.name}"] = {
            "title": f"NewTask.{one.kind.name}",
            "type": "object",
            "properties": {"kind": {"const": one.kind.name}, "args": one.args, **_entry_options(one)},
            "required": ["kind", "args"] if one.needs_args else ["kind"],
            "additionalProperties": False,
        }
    schemas.components["NewTask"] = {"oneOf": [{"$ref": f"{SCHEMAS}NewTask.{one.kind.name}"} for one in kinds]}
    entry = {"$ref": f"{SCHEMAS}NewTask"}
    array = {"type": "array", "items": entry, "minItems": 1, "maxItems": MAX_BATCH}
    shown = [{"kind": one.kind.name, "args": one.example} for one in kinds if one.example is not None]
    return _body({"anyOf": [entry, array]}, True, shown[:2] or None)


def _body(schema: Json, required: bool, shown: Any) -> Json:
    content = {"schema": schema} if shown is None else {"schema": schema, "example": shown}
    return {"required": required, "content": {JSON: content}}


def _take_form(operation: Json, part: str) -> None:
    """Describe that the operation takes a form with a file, too."""
    operation["requestBody"]["content"] |= _form(part)
    operation["responses"]["501"] = {"$ref": "#/components/responses/501"}


def _form(part: str) -> Json:
    file = {"type": "string", "format": "binary"}
    schema = {"type": "object", "properties": {part: file}, "required": [part], "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema}}


def _entry_options(one: _Kind) -> Json:
    """The options of one entry: those of the query, `tags` in place of `tag`, and its own key."""
    single = {name: one.option(name, reader.schema) for name, reader in options.OPTIONS.items() if name != "tag"}
    key = texts.REQUEST_HEADERS["Idempotency-Key"][1]
    optional = {
        name: {"anyOf": [schema, {"type": "null"}]} for name, schema in {**single, "idempotency_key": key}.items()
    }
    return {**optional, "tags": _TAGS}


def _parameter(place: str, name: str, text: str, schema: Json) -> Json:
    required = {"required": True} if place == "path" or name in texts.REQUIRED_HEADERS else {}
    return {"name": name, "in": place, **required, "description": text, "schema": schema}


def _answer(answer: Answer, schemas: _Schemas) -> Json:
    described: Json = {"description": answer.text}
    if names := (*answer.always, *answer.sometimes):
        described["headers"] = {name: _header(name, name in answer.always) for name in names}
    if answer.shape is not None:
        described["content"] = {answer.media: {"schema": schemas.of(answer.shape)}}
    if answer.page:
        described["content"]["text/html"] = {"schema": texts.TEXT}
    return described


def _header(name: str, always: bool) -> Json:
    text, schema = texts.ANSWER_HEADERS[name]
    return {"description": text, **({"required": True} if always else {}), "schema": schema}


def _components(paths: Mapping[str, Json], schemas: _Schemas) -> Json:
    parameters = {
        name: _parameter("query", name, texts.TEXTS[name], _TAGS if name == "tag" else reader.schema)
        for name, reader in options.OPTIONS.items()
        if name not in _OF_THE_KIND
    }
    parameters |= {
        name: _parameter("header", name, text, schema) for name, (text, schema) in texts.REQUEST_HEADERS.items()
    }
    created = _answer(operations.CREATED, schemas)
    created["links"] = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {"task_id": "$response.body#/task_id"},
        }
        for path, methods in paths.items()
        if path.startswith("/tasks/{task_id}")
        for operation in methods.values()
    }
    responses: Json = {"created": created, "ended": _answer(operations.ENDED, schemas)}
    for status, text in texts.PROBLEMS.items():
        headers = texts.PROBLEM_HEADERS.get(status, ())
        answer = Answer(text, shapes.Problem, "application/problem+json", sometimes=headers)
        responses[str(status)] = _answer(answer, schemas)
    return {
        "schemas": dict(sorted(schemas.components.items())),
        "parameters": parameters,
        "responses": responses,
        "securitySchemes": _SECURITY,
    }
