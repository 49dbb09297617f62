"""Decodes requests without holding the loop up, however many messages they have.

Messages are checked in slices, since what checks them lets no thread run meanwhile; what joins the
parts of a body does. One very long text is still read at once: 1 to 3 ms a megabyte.
"""

import asyncio
from functools import cache
from typing import Any, Final, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from invokeq.protocol import codec
from invokeq.protocol.entities import AnyPromptMessage
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.kinds import call_kinds, find_kind, resolve
from invokeq.protocol.requests import BodyRef, CallRequest, Envelope

_MESSAGES: Final = "prompt_messages"
_ONE_EACH: Final = b'"role"'  # stands once in each message
_FEW_PARTS: Final = 8  # of 512 KB, joined within 3 ms
_SLICE: Final = 500  # messages that are checked at once, in 2 ms


async def join_body(ref: BodyRef, parts: list[bytes | None]) -> bytes:
    """Put parts together as `codec.join_body` does; many of them in a thread."""
    if ref.parts <= _FEW_PARTS:
        return codec.join_body(ref, parts)
    return await asyncio.to_thread(codec.join_body, ref, parts)


def warm_up() -> None:
    """Build what checks jobs and requests now, so that the first of them need not wait for it."""
    Envelope.model_rebuild()
    codec.request_adapter()
    _messages_adapter()
    for kind in call_kinds().values():
        resolve(kind.serve_ref)


async def decode_request(payload: bytes | dict[str, Any]) -> CallRequest:
    """Decode a request as `codec.decode_request` does, and let others run in between."""
    # Inside a text the quotation marks would be escaped.
    if isinstance(payload, dict) or payload.count(_ONE_EACH) <= _SLICE:
        return codec.decode_request(payload)
    fields = _object(payload)
    kind, messages = str(fields.get("kind")), fields.get(_MESSAGES)
    if not isinstance(messages, list) or not _has_messages(kind):
        return codec.decode_request(payload)  # says what is wrong with it
    fields[_MESSAGES] = await _checked(kind, cast(list[Any], messages))
    return codec.decode_request(fields)


def _has_messages(kind: str) -> bool:
    """Return whether requests of a kind carry messages as those of LLMs do."""
    found = find_kind(kind)
    field = found and found.request.model_fields.get(_MESSAGES)
    return bool(field) and field.annotation == list[AnyPromptMessage]


def _object(payload: bytes) -> dict[str, Any]:
    """Give the object that a payload is, or an empty one."""
    try:
        loaded: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return cast(dict[str, Any], loaded) if isinstance(loaded, dict) else {}


async def _checked(kind: str, messages: list[Any]) -> list[AnyPromptMessage]:
    checked: list[AnyPromptMessage] = []
    for start in range(0, len(messages), _SLICE):
        await asyncio.sleep(0)
        try:
            part = orjson.dumps(messages[start : start + _SLICE])
            checked += _messages_adapter().validate_json(part)
        except ValidationError as error:
            path, problem = codec.first_problem(error)
            index, dot, rest = path.partition(".")
            field = f"{kind}.{_MESSAGES}.{start + int(index)}{dot}{rest}"
            raise InvalidRequestError(field=field, problem=problem) from None
    return checked


@cache
def _messages_adapter() -> TypeAdapter[list[AnyPromptMessage]]:
    return TypeAdapter(list[AnyPromptMessage])
