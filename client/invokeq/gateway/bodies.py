"""Reads the bodies of requests within a bound."""

from typing import Any, cast

import orjson
from starlette.requests import Request

from invokeq.protocol.errors import InvalidRequestError, RequestTooLargeError


async def read_body(request: Request, limit: int) -> bytes:
    """Give the body, with a length or chunked; RequestTooLargeError as soon as it is over.

    What is left unread, here and where a request is refused before, the server reads and throws
    away: a client that is cut off while it writes does not see the answer.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RequestTooLargeError(
                field="body",
                size=f"over {limit}",
                limit=limit,
                setting="--max-body-mb of the gateway",
            )
        parts.append(part)
    return b"".join(parts)


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Give the body as a JSON object, or raise InvalidRequestError."""
    return object_of(await read_body(request, limit))


def object_of(body: bytes) -> dict[str, Any]:
    """Decode a JSON object, or raise InvalidRequestError."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(field="body", problem=f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError(field="body", problem="must be a JSON object")
    return cast(dict[str, Any], value)
