"""Build a value for a JSON schema, as a model with structured output would."""

from collections.abc import Mapping
from typing import Any, Final, cast

_DEEPEST: Final = 20  # levels; the end of a schema that contains itself
_SAMPLES: Final[Mapping[str, Any]] = {
    "string": "text",
    "number": 0.5,
    "integer": 1,
    "boolean": True,
    "null": None,
}

Schema = Mapping[str, Any]


def instance_of(schema: Schema) -> Any:
    """Return a value of the schema's type; bounds such as `maximum` are obeyed by chance only."""
    return _instance(schema, schema, _DEEPEST)


def _instance(schema: Schema, root: Schema, depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return _instance(schema[keyword][0], root, depth)
    kind = _kind(schema)
    if kind == "object":
        properties = cast(Mapping[str, Schema], schema.get("properties", {}))
        below = properties.items() if depth else ()
        return {name: _instance(child, root, depth - 1) for name, child in below}
    # An empty list ends a schema that contains itself.
    if kind == "array":
        items = schema.get("items")
        return [_instance(items, root, depth - 1)] if items and depth else []
    return schema.get("minimum", _SAMPLES.get(kind))


def _kind(schema: Schema) -> str:
    kinds = schema.get("type", "object")
    return str(cast(list[Any], kinds)[0] if isinstance(kinds, list) else kinds)


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Any = root
    for name in reference.lstrip("#/").split("/") if reference != "#" else ():
        found = found[name]
    return found
