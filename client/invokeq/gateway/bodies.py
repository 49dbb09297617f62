"""Reads request bodies up to a limit."""

from typing import Any, cast

import orjson
from starlette.requests import Request

from invokeq.protocol.errors import InvalidRequestError, RequestTooLargeError


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, chunked or of known length.

    Raises RequestTooLargeError as soon as more than `limit` bytes have arrived. The server drains
    the unread rest, here and after earlier refusals: a client cut off while sending never sees the
    response.
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
    """Return the body as a JSON object, or raise InvalidRequestError."""
    return parse_object(await read_body(request, limit))


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object, or raise InvalidRequestError."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(field="body", problem=f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequestError(field="body", problem="must be a JSON object")
    return cast(dict[str, Any], value)
