"""The stream of one attempt, on the worker's side: what it has to say, packed into stream entries.

Does no I/O: the process's one Writer takes what waits here and sends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from invokeq.protocol.events import ANSWERS, TERMINAL, EventId, EventKind, entry_fields
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command
from invokeq_worker.config.values import Window
from invokeq_worker.streams.window import StreamWindow

MAX_ENTRY: Final = 256 * 1024
"""Bytes of chunks packed into one entry; a reader decodes an entry at once."""

RUNNING_TTL: Final = 86_400
"""Seconds that a stream outlives its last event while its invocation runs."""


@dataclass(slots=True)
class _Entry:
    """What will be one entry of a stream; `sequence` is that of its last event."""

    kinds: list[EventKind]
    payloads: list[bytes]
    sequence: int
    size: int
    blob: bytes = b""

    def command(self, key: str, attempt: int) -> Command:
        kind, data = entry_fields(self.kinds, self.payloads)
        fields = ("k", kind, "d", data, *(("b", self.blob) if self.blob else ()))
        return ("XADD", key, f"{attempt}-{self.sequence}", *fields)


class EventWriter:
    """The stream of one attempt. Not thread-safe; lives on the worker's loop."""

    __slots__ = (
        "_entries",
        "_on_dirty",
        "_on_fenced",
        "_sequence",
        "_ttl_sent",
        "_window",
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
        window: Window,
    ) -> None:
        self._on_dirty = on_dirty
        self._window = StreamWindow(window)
        self._entries: list[_Entry] = []
        self._on_fenced = on_fenced
        self._sequence = -1
        self._ttl_sent = 0
        self.ttl: int = RUNNING_TTL
        self.key: str = keys.events(request_id)
        self.attempt: int = attempt
        self.events: int = 0
        self.fenced: bool = False
        self.ended: bool = False

    def event(self, kind: EventKind, payload: bytes, blob: bytes = b"") -> None:
        """Append an event; it shares an entry with what has not been sent, unless it has bytes."""
        size = len(payload) + len(blob)
        last = self._entries[-1] if self._entries else None
        self._sequence += 1
        if last and last.size + size <= MAX_ENTRY and not (last.blob or blob):
            last.kinds.append(kind)
            last.payloads.append(payload)
            last.sequence += 1
            last.size += size
        else:
            self._window.entry(self._sequence - 1)
            self._entries.append(_Entry([kind], [payload], self._sequence, size, blob))
        self._window.bytes += size
        self.ended = kind in TERMINAL
        self.events += kind in ANSWERS
        self._on_dirty(self, size)

    def chunk(self, payload: bytes) -> None:
        """Append one chunk of an LLM's answer."""
        self.event(EventKind.CHUNK, payload)

    @property
    def full(self) -> bool:
        """Whether no more of the answer may be said before the reader has taken some."""
        return self._window.is_full(self._sequence)

    @property
    def has_reader(self) -> bool:
        """Whether there is a reader to wait for."""
        return self._window.has_reader

    @property
    def window(self) -> Window:
        return self._window.window

    def unattend(self) -> None:
        """Wait for no reader, and trim nothing any more."""
        self._window.has_reader = False

    def taken(self, position: EventId) -> None:
        """Learn how far the reader has come; a position in another attempt says nothing here."""
        if position.attempt == self.attempt:
            self._window.take(position.sequence, self._sequence)
            if self._window.can_trim:
                self._on_dirty(self, 0)

    def take(self) -> list[tuple[Command, int | None]]:
        """Turn what waits into commands and forget it; the XADDs come with their sequence
        numbers."""
        entries, self._entries = self._entries, []
        if self.fenced:
            return []
        commands: list[tuple[Command, int | None]] = []
        trimmed = self._window.trim()
        if trimmed is not None:  # before more is added, so that the two are never there at once
            first = str(EventId(self.attempt, trimmed + 1))
            commands.append((("XTRIM", self.key, "MINID", "=", first), None))
        commands += [(entry.command(self.key, self.attempt), entry.sequence) for entry in entries]
        if self.ttl != self._ttl_sent:
            self._ttl_sent = self.ttl
            commands.append((("EXPIRE", self.key, self.ttl), None))
        return commands

    def leave(self) -> None:
        """Its owner has ended and need not hear of anything: without a way back to it, neither has
        to wait for the garbage collector."""
        self._on_fenced = _tell_nobody

    def fence(self) -> None:
        """Another attempt owns the stream: say nothing more, and let the invocation know."""
        if not self.fenced:
            self.fenced = True
            self._on_fenced()


def _tell_nobody() -> None:
    pass
