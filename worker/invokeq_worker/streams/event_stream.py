"""The event stream of one attempt on the worker's side: events, packed into stream entries.

Does no I/O: the one Writer of the process collects and sends the commands.
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
"""Bytes of events packed into one entry; a reader decodes an entry in one go."""

RUNNING_TTL: Final = 86_400
"""Seconds for which a stream outlives the last event while the invocation runs."""


@dataclass(slots=True)
class _Entry:
    """An unsent stream entry; `sequence` belongs to the last event."""

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
        """Append an event; events without a `blob` coalesce into the last unsent entry."""
        size = len(payload) + len(blob)
        last = self._entries[-1] if self._entries else None
        self._sequence += 1
        if last and last.size + size <= MAX_ENTRY and not (last.blob or blob):
            last.kinds.append(kind)
            last.payloads.append(payload)
            last.sequence += 1
            last.size += size
        else:
            self._window.begin_entry(self._sequence - 1)
            self._entries.append(_Entry([kind], [payload], self._sequence, size, blob))
        self._window.bytes += size
        self.ended = kind in TERMINAL
        self.events += kind in ANSWERS
        self._on_dirty(self, size)

    def chunk(self, payload: bytes) -> None:
        """Append one chunk of an LLM's answer."""
        self.event(EventKind.CHUNK, payload)

    @property
    def is_over_window(self) -> bool:
        """Whether the run must wait until the reader has read more (backpressure)."""
        return self._window.is_over(self._sequence)

    @property
    def has_reader(self) -> bool:
        """Whether the stream has a reader to wait for."""
        return self._window.has_reader

    @property
    def window(self) -> Window:
        """The bounds of the stream."""
        return self._window.window

    def detach(self) -> None:
        """Go on without a reader: wait for none, and trim no more events."""
        self._window.has_reader = False

    def acknowledge(self, position: EventId) -> None:
        """Record how far the reader has read; positions in other attempts are ignored."""
        if position.attempt == self.attempt:
            self._window.acknowledge(position.sequence, self._sequence)
            if self._window.can_trim:
                self._on_dirty(self, 0)

    def take_commands(self) -> list[tuple[Command, int | None]]:
        """Remove the unsent entries and return commands; an XADD comes with a sequence."""
        entries, self._entries = self._entries, []
        if self.fenced:
            return []
        commands: list[tuple[Command, int | None]] = []
        trimmed = self._window.trim()
        if trimmed is not None:  # trim before adding, so that Redis never holds both at once
            first = str(EventId(self.attempt, trimmed + 1))
            commands.append((("XTRIM", self.key, "MINID", "=", first), None))
        commands += [(entry.command(self.key, self.attempt), entry.sequence) for entry in entries]
        if self.ttl != self._ttl_sent:
            self._ttl_sent = self.ttl
            commands.append((("EXPIRE", self.key, self.ttl), None))
        return commands

    def release_run(self) -> None:
        """Drop the reference to the run, which has ended.

        Run and stream would otherwise keep each other alive until the garbage collector looks.
        """
        self._on_fenced = _no_op

    def fence(self) -> None:
        """Stop writing, because a later attempt owns the stream, and notify the run."""
        if not self.fenced:
            self.fenced = True
            self._on_fenced()


def _no_op() -> None:
    pass
