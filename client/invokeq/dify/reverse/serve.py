"""Serves one reverse invocation, independent of the transport.

Ordering, loss and duplication are as with `invokeq.AsyncSession`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse_kinds import is_platform_kind, served_kinds
from invokeq.protocol.errors import InvalidRequestError, InvokeqError, NotServedError
from invokeq.protocol.kinds import find_kind, resolve


async def serve(
    session: AsyncSession, kind: str, payload: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the JSON objects of the answer to a call; `kind` is Dify's InvokeType.

    `payload` is the `request` object of the call. A kind with one result yields one object, other
    kinds one object a chunk or audio segment. The first `anext()` submits the call; closing the
    generator cancels the invocation. Raises the errors of `invokeq.errors`: NotServedError for a
    kind served by Dify's platform alone, InvalidRequestError with the name of a wrong field.
    """
    found = find_kind(kind)
    if found is None:
        raise _refusal(kind)
    handler = resolve(found.reverse_ref)
    # `aclosing`: an abandoned async generator would cancel its invocation only when collected.
    async with aclosing(handler(session, payload)) as pieces:
        try:
            async for piece in pieces:
                yield piece
        except InvalidRequestError as error:
            raise _named_as_in_payload(error) from None


def _refusal(kind: str) -> InvokeqError:
    """Return the error for an unserved kind."""
    served = ", ".join(served_kinds())
    if is_platform_kind(kind):
        return NotServedError(kind=kind, known=served)
    return InvalidRequestError(
        field="type", problem=f"no kind of call is named {kind[:100]!r}; there are: {served}"
    )


def _named_as_in_payload(error: InvalidRequestError) -> InvalidRequestError:
    """Name the wrong field as the payload does, where a model config has no separate level."""
    field = error.fields.get("field")
    if isinstance(field, str):
        error.field = field.removeprefix("model_config.")
    return error
