"""Splits the output of a plugin's process into JSON objects.

The SDK writes an object and the two newlines behind the object in separate steps and from many
threads, so a line may hold several objects. Plugins also print: text outside of objects is returned
as noise. A line over the limit is dropped and reported.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, cast

import orjson

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Limit of one message: audio comes as hex and vectors as decimals, both in one piece."""

_OBJECT: Final = re.compile(r'\{"event":')
_SESSION: Final = re.compile(rb'"session_id":\s*"([^"\\]{1,200})"')
_HEAD_BYTES: Final = 1024  # a session id is among the first bytes


class Noise(str):
    """Text outside of the protocol's messages."""

    __slots__ = ()


class OversizedMessage:
    """A dropped message over the limit, with the session id if known."""

    def __init__(self, session_id: str | None) -> None:
        self.session_id = session_id


Message: TypeAlias = dict[str, Any]


class LineReader:
    """Takes bytes in pieces of any size and returns complete messages."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[Message | Noise | OversizedMessage]:
        """Yield the messages completed by `data`; the caller must exhaust the iterator."""
        self._buffer += data
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            if self._skipping:
                self._skipping = False
            elif len(line) > self._max_bytes:
                yield OversizedMessage(_session_of(line))
            elif line.strip():
                yield from _messages(line)
        self._searched = len(self._buffer)
        # Over the limit without a newline: drop what came, and skip up to the next newline.
        if len(self._buffer) > self._max_bytes:
            if not self._skipping:
                yield OversizedMessage(_session_of(self._buffer))
            self._skipping = True
            self._buffer.clear()
            self._searched = 0


def _session_of(line: bytes | bytearray) -> str | None:
    found = _SESSION.search(line[:_HEAD_BYTES])
    return found[1].decode(errors="replace") if found else None


def _messages(line: bytes) -> Iterator[Message | Noise]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        yield from _extract_objects(line.decode(errors="replace"))
        return
    if isinstance(value, dict):
        yield cast(Message, value)
    else:
        yield Noise(line.decode())


def _extract_objects(text: str) -> Iterator[Message | Noise]:
    """Yield the objects of a line with several objects or with noise, in order."""
    decoder = json.JSONDecoder()
    at = 0
    for found in _OBJECT.finditer(text):
        if found.start() < at:  # inside of the object before: the text of a message, say
            continue
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        if noise := text[at : found.start()].strip():
            yield Noise(noise)
        yield value
        at = end
    if noise := text[at:].strip():
        yield Noise(noise)
