"""Makes example args of a kind from their schema: the shortest that may be valid. The kind then checks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 8


def example(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """A value for the schema. `definitions` are keyed by the whole `$ref`. The value is a guess where the schema has a
    pattern or a format, or where types contain themselves."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"]], **schema}
    if schema.get("examples"):
        return schema["examples"][0]
    for given in ("default", "const"):
        if given in schema:
            return schema[given]
    if "enum" in schema:
        return schema["enum"][0]
    if depth == MAX_DEPTH:
        return None
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return example(choices[0], definitions, depth + 1)
    match schema.get("type"):
        case "object":
            properties, wanted = schema.get("properties", {}), schema.get("required", ())
            return {name: example(properties[name], definitions, depth + 1) for name in wanted}
        case "array":
            items = [*schema.get("prefixItems", ())]
            items += [schema.get("items") or {}] * (schema.get("minItems", 0) - len(items))
            return [example(item, definitions, depth + 1) for item in items]
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
    return None


def _text(schema: Mapping[str, Any]) -> str:
    formats = {
        "date-time": "2030-01-31T12:00:00Z",
        "date": "2030-01-31",
        "time": "12:00:00Z",
        "duration": "PT1H",
        "uuid": "01a1fc91-bf65-7cf5-9e74-aba76276041c",
    }
    text = formats.get(schema.get("format", ""), "text")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _number(schema: Mapping[str, Any]) -> float:
    """The least multiple that the schema allows; from 1 on when the schema has no bounds."""
    step = schema.get("multipleOf", 1)
    above, least = schema.get("exclusiveMinimum"), schema.get("minimum", 0 if "maximum" in schema else 1)
    value: float = -(-(least if above is None else above) // step) * step
    return value + step if value == above else value
