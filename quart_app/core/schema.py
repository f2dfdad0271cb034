"""Types as JSON Schema (2020-12): the args of a kind, for people and for the API's documentation."""

from __future__ import annotations

from typing import Any

import msgspec


def args_schema(args_type: type[msgspec.Struct] | None, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of the args, and the definitions that it refers to by `ref_template`."""
    if args_type is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}, {}
    # The struct's own name in the definitions: msgspec lengthens it where a user's type is called the same.
    (own,), _ = msgspec.json.schema_components((args_type,), ref_template="{name}")
    _, definitions = msgspec.json.schema_components((args_type,), ref_template=ref_template)
    definitions = portable(definitions)
    schema = definitions.pop(own["$ref"])
    del schema["title"]
    return schema, definitions


def portable(schema: Any) -> Any:
    """JSON Schema's patterns are those of ECMA-262, where `$` is what `\\Z` is in Python."""
    if isinstance(schema, dict):
        return {
            key: value.replace("\\Z", "$") if key == "pattern" and isinstance(value, str) else portable(value)
            for key, value in schema.items()
        }
    return [portable(one) for one in schema] if isinstance(schema, (list, tuple)) else schema


def choices(args_type: type[msgspec.Struct], pointer: str) -> list[Any]:
    """The values of the enumeration at a place in the args, by its JSON Pointer; none when there is none."""
    return [value for node in _at(args_type, pointer) for value in node.get("enum", ())]


def wanted(args_type: type[msgspec.Struct], pointer: str) -> str:
    """What the text at that place is, with an example, as its `Meta` says it to people; empty when it says nothing."""
    for node in _at(args_type, pointer):
        if "pattern" in node and "description" in node:
            example = f", for example {node['examples'][0]}" if node.get("examples") else ""
            return f"{node['description']}{example}"
    return ""


def _at(args_type: type[msgspec.Struct], pointer: str) -> list[dict[str, Any]]:
    """The schemas of what is at a place in the args."""
    schema, definitions = args_schema(args_type, "{name}")
    nodes = _meant([schema], definitions)
    for part in pointer.split("/")[1:]:
        below = [child for node in nodes for child in (node.get("properties", {}).get(part), node.get("items"))]
        nodes = _meant([child for child in below if child], definitions)
    return nodes


def _meant(nodes: list[dict[str, Any]], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that these refer to, and all the alternatives that they give."""
    found: list[dict[str, Any]] = []
    for node in nodes:
        target = definitions[node["$ref"]] if "$ref" in node else node
        found += _meant(target["anyOf"], definitions) if "anyOf" in target else [target]
    return found
