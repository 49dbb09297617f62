"""The messages of tools and agents, with blobs reassembled from the SDK's chunks."""

import base64
import binascii
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Final, cast

from invokeq.protocol.errors import ProtocolError

MAX_BLOB_BYTES: Final = 256 * 1024 * 1024
"""Limit on the bytes of all incomplete blobs of one call together."""


class BlobJoiner:
    """Replaces the chunks of a blob by one `blob` message; other messages pass unchanged.

    A blob is returned when complete; chunks of several blobs may be interleaved. Raises
    ProtocolError for chunks out of order, and for missing or surplus bytes.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, bytearray]] = {}

    def take(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Take one message and return a message that is now complete, or None."""
        if message.get("type") != "blob_chunk":
            return message
        chunk = cast(Mapping[str, Any], message.get("message") or {})
        name = str(chunk.get("id"))
        expected, data = self._open.setdefault(name, (0, bytearray()))
        if chunk.get("sequence") != expected:
            raise _broken(name, f"chunk {chunk.get('sequence')} came instead of {expected}")
        data += _decoded(name, chunk.get("blob"))
        self._open[name] = (expected + 1, data)
        # One limit for all open blobs: many small unfinished ones fill memory as well.
        if sum(len(data) for _, data in self._open.values()) > MAX_BLOB_BYTES:
            raise _broken(name, f"is over {MAX_BLOB_BYTES} bytes")
        if not chunk.get("end"):
            return None
        del self._open[name]
        if len(data) != chunk.get("total_length"):
            total = chunk.get("total_length")
            raise _broken(name, f"has {len(data)} bytes, its chunks say {total}")
        blob = base64.b64encode(data).decode()
        return {"type": "blob", "message": {"blob": blob}, "meta": message.get("meta")}

    def finish(self) -> None:
        """Raise ProtocolError if a blob is incomplete."""
        for name in self._open:
            raise _broken(name, "has no end")


async def joined(messages: AsyncIterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Yield messages with whole blobs."""
    blobs = BlobJoiner()
    async for message in messages:
        whole = blobs.take(message)
        if whole is not None:
            yield whole
    blobs.finish()


def blob_of(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a `blob` message."""
    content = cast(Mapping[str, Any], message.get("message") or {})
    return _decoded("of a message", content.get("blob"))


def _decoded(name: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise _broken(name, f"is not base64: {error}") from None


def _broken(name: str, problem: str) -> ProtocolError:
    return ProtocolError(where=f"blob {name}", problem=problem)
