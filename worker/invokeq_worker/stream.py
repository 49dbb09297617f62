"""The stream of one attempt, on the worker's side: what it has to say, packed into stream entries.

Does no I/O: the process's one Writer takes what waits here and sends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from invokeq.protocol import keys
from invokeq.protocol.events import ANSWERS, TERMINAL, EventKind, pack
from invokeq_worker.link import Command

MAX_ENTRY: Final = 256 * 1024
"""Bytes of chunks packed into one entry; a reader decodes an entry at once."""

RUNNING_TTL: Final = 86_400
"""Seconds that a stream outlives its last event while its invocation runs."""


@dataclass(slots=True)
class _Entry:
    """What will be one entry of a stream; `sequence` is that of its last event."""

    kind: EventKind
    payloads: list[bytes]
    sequence: int
    size: int
    blob: bytes = b""

    def command(self, key: str, attempt: int) -> Command:
        data = pack(self.payloads) if self.kind is EventKind.CHUNK else self.payloads[0]
        fields = ("k", self.kind.value, "d", data, *(("b", self.blob) if self.blob else ()))
        return ("XADD", key, f"{attempt}-{self.sequence}", *fields)


class EventWriter:
    """The stream of one attempt. Not thread-safe; lives on the worker's loop."""

    __slots__ = (
        "_entries",
        "_on_dirty",
        "_on_fenced",
        "_sequence",
        "_ttl_sent",
        "attempt",
        "ended",
        "events",
        "fenced",
        "key",
        "ttl",
    )

    def __init__(
        self,
        request_id: str,
        attempt: int,
        on_dirty: Callable[["EventWriter", int], None],
        on_fenced: Callable[[], None],
    ) -> None:
        self._on_dirty = on_dirty
        self._entries: list[_Entry] = []
        self._on_fenced = on_fenced
        self._sequence = -1
        self._ttl_sent = 0
        self.ttl = RUNNING_TTL
        self.key = keys.events(request_id)
        self.attempt = attempt
        self.events = 0
        self.fenced = False
        self.ended = False

    def event(self, kind: EventKind, payload: bytes, blob: bytes = b"") -> None:
        """Append an event that has an entry of its own."""
        self._sequence += 1
        size = len(payload) + len(blob)
        self._entries.append(_Entry(kind, [payload], self._sequence, size, blob))
        self.ended = kind in TERMINAL
        self.events += kind in ANSWERS
        self._on_dirty(self, size)

    def chunk(self, payload: bytes) -> None:
        """Append one chunk; it shares an entry with the chunk before it if that has not been
        sent."""
        self._sequence += 1
        self.events += 1
        size = len(payload)
        last = self._entries[-1] if self._entries else None
        if last and last.kind is EventKind.CHUNK and last.size + size <= MAX_ENTRY:
            last.payloads.append(payload)
            last.sequence = self._sequence
            last.size += size
        else:
            self._entries.append(_Entry(EventKind.CHUNK, [payload], self._sequence, size))
        self._on_dirty(self, size)

    def take(self) -> list[tuple[Command, int | None]]:
        """Turn what waits into commands and forget it; the XADDs come with their sequence
        numbers."""
        entries, self._entries = self._entries, []
        if self.fenced:
            return []
        commands: list[tuple[Command, int | None]] = [
            (entry.command(self.key, self.attempt), entry.sequence) for entry in entries
        ]
        if self.ttl != self._ttl_sent:
            self._ttl_sent = self.ttl
            commands.append((("EXPIRE", self.key, self.ttl), None))
        return commands

    def fence(self) -> None:
        """Another attempt owns the stream: say nothing more, and let the invocation know."""
        if not self.fenced:
            self.fenced = True
            self._on_fenced()
