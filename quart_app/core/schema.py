"""The args of a kind as JSON Schema (2020-12), for users and for the documentation of the API."""

from __future__ import annotations

from typing import Any

import msgspec

from quart_app.core import json_pointers


def args_schema(args_type: type[msgspec.Struct] | None, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of the args, and the definitions that it refers to by `ref_template`."""
    if args_type is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}, {}
    # The struct's own name in the definitions: msgspec makes it longer when a user's type has the same name.
    (own,), _ = msgspec.json.schema_components((args_type,), ref_template="{name}")
    _, definitions = msgspec.json.schema_components((args_type,), ref_template=ref_template)
    definitions = portable(definitions)
    schema = definitions.pop(own["$ref"])
    del schema["title"]
    return schema, definitions


def portable(schema: Any) -> Any:
    """Replace `\\Z` in patterns with `$`: patterns of JSON Schema are those of ECMA-262."""
    if isinstance(schema, dict):
        return {
            key: value.replace("\\Z", "$") if key == "pattern" and isinstance(value, str) else portable(value)
            for key, value in schema.items()
        }
    return [portable(one) for one in schema] if isinstance(schema, (list, tuple)) else schema


def explain(args_type: type[msgspec.Struct], error: msgspec.ValidationError) -> tuple[str, str]:
    """(JSON Pointer, detail) of what does not fit; the detail names what would."""
    pointer, detail = json_pointers.explain(str(error))
    if detail.startswith("Invalid enum value"):
        others = {str(node["type"]) for node in _at(args_type, pointer) if "type" in node} - {"null"}
        values = [", ".join(map(str, choices(args_type, pointer))), *(f"any {one}" for one in sorted(others))]
        detail += f"; one of {' or '.join(values)}"
    elif "matching regex" in detail and (text := wanted(args_type, pointer)):
        detail = f"expected: {text}"
    return pointer, detail


def choices(args_type: type[msgspec.Struct], pointer: str) -> list[Any]:
    """The values of the enumeration at this JSON Pointer in the args; empty when there is none."""
    return [value for node in _at(args_type, pointer) for value in node.get("enum", ())]


def wanted(args_type: type[msgspec.Struct], pointer: str) -> str:
    """The description and an example of the text at this JSON Pointer, from its `Meta`; empty when it has none."""
    for node in _at(args_type, pointer):
        if "pattern" in node and "description" in node:
            example = f", for example {node['examples'][0]}" if node.get("examples") else ""
            return f"{node['description']}{example}"
    return ""


def _at(args_type: type[msgspec.Struct], pointer: str) -> list[dict[str, Any]]:
    """The schemas at this JSON Pointer in the args."""
    schema, definitions = args_schema(args_type, "{name}")
    nodes = _meant([schema], definitions)
    for part in pointer.split("/")[1:]:
        below = [child for node in nodes for child in (node.get("properties", {}).get(part), node.get("items"))]
        nodes = _meant([child for child in below if child], definitions)
    return nodes


def _meant(nodes: list[dict[str, Any]], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that these refer to, with all their alternatives."""
    found: list[dict[str, Any]] = []
    for node in nodes:
        target = definitions[node["$ref"]] if "$ref" in node else node
        found += _meant(target["anyOf"], definitions) if "anyOf" in target else [target]
    return found
