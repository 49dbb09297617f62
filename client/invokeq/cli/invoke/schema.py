"""Reads the JSON schema of an answer."""

from pathlib import Path
from typing import Any, cast

from invokeq.protocol.errors import InvalidRequestError


def read_schema(text: str) -> dict[str, Any]:
    """Return a schema from inline JSON, or from the file of the given name.

    Raises InvalidRequestError unless the schema is a JSON object.
    """
    import orjson

    inline = text.lstrip().startswith("{")
    data = text.encode() if inline else Path(text).read_bytes()
    origin = "--schema" if inline else f"--schema {text}"
    try:
        schema = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(field=origin, problem=f"is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidRequestError(field=origin, problem="must be a JSON object")
    return cast(dict[str, Any], schema)
