"""Forms made from the JSON Schema of a kind's args, and the args that a form sends. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from quart_app.core import codec
from quart_app.core.errors import InvalidArgs, InvalidInput

if TYPE_CHECKING:
    from quart_app.engine.kind import TaskKind

Json = dict[str, Any]
Input = Literal["text", "lines", "number", "choice", "json"]
BEFORE: Final = "arg."  # the name of an arg's field, before the arg's own
LONG: Final = 120  # characters that a text may have before it gets an area


class Field(msgspec.Struct):
    """One field of a form. `text`: what stands in it; `shown`: the default, which holds when it is left empty."""

    name: str
    label: str
    input: Input
    required: bool
    help: str
    choices: list[tuple[str, str]]
    text: str
    shown: str
    types: list[str]
    wrong: str = ""


def fields_of(kind: TaskKind[..., Any], sent: Mapping[str, str], wrong: Sequence[tuple[str, str]] = ()) -> list[Field]:
    """The fields for the args of a kind, with what a form has sent. `wrong`: (JSON Pointer, detail) pairs."""
    schema, definitions = kind.schema()
    required = set(schema.get("required", ()))
    found = []
    for name, node in schema.get("properties", {}).items():
        field = _field(name, node, definitions, name in required)
        field.text = sent.get(BEFORE + name, field.text)
        field.wrong = "; ".join(detail for pointer, detail in wrong if pointer.split("/")[1:2] == [_token(name)])
        found.append(field)
    return found


def others(wrong: Sequence[tuple[str, str]], fields: Sequence[Field]) -> list[str]:
    """What is wrong and belongs to no field."""
    names = {_token(one.name) for one in fields}
    return [detail for pointer, detail in wrong if not {*pointer.split("/")[1:2]} & names]


def args_of(fields: Sequence[Field]) -> Json:
    """The args that the texts of the fields mean. A field that is left empty is left out. Raises InvalidArgs."""
    args: Json = {}
    wrong: list[tuple[str, str]] = []
    for field in fields:
        if field.text == "" and not (field.required and field.types == ["string"] and field.input != "choice"):
            if field.required:
                wrong.append((f"/{_token(field.name)}", "is needed"))
            continue
        try:
            args[field.name] = _value(field)
        except InvalidInput as error:
            wrong.append((f"/{_token(field.name)}", str(error)))
    if wrong:
        raise InvalidArgs(wrong)
    return args


def _value(field: Field) -> Any:
    """Raises InvalidInput."""
    if field.input in ("text", "lines"):
        return field.text.replace("\r\n", "\n")
    try:
        return codec.decode(field.text.strip().encode())
    except InvalidInput:
        what = {"number": "a number", "choice": "one of these"}.get(field.input, "JSON")
        raise InvalidInput(f"must be {what}") from None


def _field(name: str, node: Json, definitions: Json, required: bool) -> Field:
    nodes = _meant(node, definitions)
    types = sorted({one for branch in nodes for one in _types(branch)})
    values = [value for branch in nodes for value in branch.get("enum", [])]
    described = next((one["description"] for one in (node, *nodes) if "description" in one), "")
    has_default = "default" in node
    default = node.get("default")
    shown = "" if not has_default or default is None else _as_text(default)
    solid = [one for one in types if one != "null"]
    kind: Input = "json"
    choices: list[tuple[str, str]] = []
    if values and all("enum" in branch for branch in nodes if branch.get("type") != "null"):
        kind, choices = "choice", [(_as_json(value), _as_text(value)) for value in values]
    elif solid == ["boolean"]:
        kind, choices = "choice", [("true", "yes"), ("false", "no")]
    elif solid == ["string"]:
        long = any(branch.get("maxLength", 0) > LONG and "pattern" not in branch for branch in nodes)
        kind = "lines" if long else "text"
    elif solid and set(solid) <= {"integer", "number"}:
        kind = "number"
    bounds = _bounds(nodes) if kind == "number" else ""
    return Field(
        name,
        name.replace("_", " "),
        kind,
        required,
        ". ".join(one for one in (described.rstrip("."), bounds) if one),
        choices,
        _example(node, nodes) if required else "",
        shown,
        solid,
    )


def _example(node: Json, nodes: Sequence[Json]) -> str:
    """An example of the schema's own, for a field that must not be left empty."""
    for one in (node, *nodes):
        if one.get("examples"):
            return _as_text(one["examples"][0])
    return ""


def _meant(node: Json, definitions: Json) -> list[Json]:
    """The schemas that this one refers to, with all their alternatives."""
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    return [one for part in node["anyOf"] for one in _meant(part, definitions)] if "anyOf" in node else [node]


def _types(node: Json) -> list[str]:
    if "enum" in node:
        return sorted({_type_of(value) for value in node["enum"]})
    given = node.get("type", "any")
    return [given] if isinstance(given, str) else list(given)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", str: "string", int: "integer", float: "number"}.get(type(value), "object")


def _bounds(nodes: Sequence[Json]) -> str:
    low = next((one["minimum"] for one in nodes if "minimum" in one), None)
    high = next((one["maximum"] for one in nodes if "maximum" in one), None)
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    return f"{low:,} or more" if low is not None else f"{high:,} or less" if high is not None else ""


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _as_json(value)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _token(name: str) -> str:
    """A name as part of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")
