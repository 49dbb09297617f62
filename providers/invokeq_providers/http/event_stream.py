"""Events of a streamed answer, from every HTTP client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import orjson

from invokeq_providers.http.sse import EventDecoder

_HEAD_BYTES: Final = 4 * 1024 * 1024  # of a body that may turn out to be JSON
_DRAIN_S: Final = 0.1  # to read what follows the end of an answer, so the connection can be reused


async def events_of(
    pieces: AsyncGenerator[bytes, None],
    is_last: Callable[[Any], bool],
    faults: tuple[type[Exception], ...],
    heartbeat: Callable[[], None],
) -> AsyncGenerator[Any, None]:
    """Yield the events of a streamed body, up to the last event; None stands for `[DONE]`.

    A body of plain JSON is one event: so a server says that the request has failed, or answers when
    it cannot stream. `faults` are what the HTTP client raises; after the last event they matter no
    more. `heartbeat` is called for every piece: a comment or a blank line keeps a connection alive.
    """
    decoder = EventDecoder()
    begun, head = False, bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            heartbeat()
            if not begun and len(head) < _HEAD_BYTES:
                head += piece
            for data in decoder.feed(piece):
                begun = True
                event = _parsed(data)
                yield event
                if is_last(event):
                    await _drain(pieces, faults)
                    return
        for data in decoder.finish():
            begun = True
            yield _parsed(data)
        if not begun and head.strip().startswith((b"{", b"[")):
            yield orjson.loads(head)


def type_of(event: Any) -> str | None:
    """Return the type named in an event, or None."""
    if not isinstance(event, Mapping):
        return None
    kind = cast(Mapping[str, Any], event).get("type")
    return kind if isinstance(kind, str) else None


def _parsed(data: bytes) -> Any:
    return None if data.startswith(b"[DONE]") else orjson.loads(data)


async def _drain(pieces: AsyncIterator[bytes], faults: tuple[type[Exception], ...]) -> None:
    """Read the end of the body: an HTTP/1.1 connection with unread bytes cannot be reused."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
    except (TimeoutError, *faults):
        return  # the answer is complete; only the connection is not worth keeping
