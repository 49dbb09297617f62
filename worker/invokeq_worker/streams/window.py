"""Backpressure of one stream: the bytes in Redis, and the part behind the reader.

Arithmetic only. While a stream has a reader, the run waits once the reader is a window behind.
Events behind the reader are trimmed once Redis holds more bytes than the window. So a stream
smaller than the window keeps every event, for late readers, and a larger one keeps the last window.
A stream without a reader never waits and is never trimmed; the length has a separate bound.

Cost: an addition for each event and a comparison for each output; memory for at most MARKS
positions, and none for a stream smaller than a MARKS-th of the window.
"""

from bisect import bisect_left, bisect_right
from typing import Final

from invokeq_worker.config.values import Window

MARKS: Final = 64
"""Positions in a window at which a stream can be trimmed; more would mean more, smaller trims."""

ENTRY_OVERHEAD: Final = 64
"""Approximate bytes of a stream entry in Redis besides the payload."""


class StreamWindow:
    """The bytes of one attempt's stream, and how far the reader has read.

    Sequences are of events.
    """

    __slots__ = (
        "_acknowledged",
        "_acknowledged_bytes",
        "_ends",
        "_marks",
        "_trimmed",
        "bytes",
        "has_reader",
        "window",
    )

    def __init__(self, window: Window) -> None:
        self.window: Window = window
        self.has_reader: bool = True
        self.bytes: int = 0
        self._acknowledged = -1
        self._acknowledged_bytes = 0
        self._trimmed = 0
        self._marks: list[int] = []  # sequences of events that end an entry
        self._ends: list[int] = []  # total bytes emitted up to each mark

    def begin_entry(self, last: int) -> None:
        """Record the begin of a new entry after event `last`."""
        if self.has_reader:
            marked = self._ends[-1] if self._ends else self._trimmed
            if self.bytes - marked >= self.window.bytes // MARKS:
                self._marks.append(last)
                self._ends.append(self.bytes)
        self.bytes += ENTRY_OVERHEAD

    def is_over(self, last: int) -> bool:
        """Return whether the stream, which ends with event `last`, is over the bound."""
        if self.has_reader:
            behind = self.bytes - self._acknowledged_bytes
            return behind > self.window.bytes or last - self._acknowledged > self.window.events
        return self.bytes - self._trimmed > self.window.detached_bytes

    def acknowledge(self, position: int, last: int) -> None:
        """Record event `position` as read, in a stream with the last event `last`."""
        position = min(position, last)
        # A replica that took over may know an older lease: a position never goes back.
        if position <= self._acknowledged:
            return
        self._acknowledged = position
        passed = bisect_right(self._marks, position)
        if position == last:
            self._acknowledged_bytes = self.bytes
        elif passed:
            self._acknowledged_bytes = self._ends[passed - 1]

    @property
    def can_trim(self) -> bool:
        """Whether Redis holds more than the window, and some events have been read."""
        return (
            self.has_reader
            and self.bytes - self._trimmed > self.window.bytes
            and bool(self._marks)
            and self._marks[0] <= self._acknowledged
        )

    def trim(self) -> int | None:
        """Return the event up to which the stream must be trimmed now, or None.

        The last entry always stays.
        """
        if not self.can_trim:
            return None
        passed = bisect_right(self._marks, self._acknowledged)
        enough = min(bisect_left(self._ends, self.bytes - self.window.bytes) + 1, passed)
        last, self._trimmed = self._marks[enough - 1], self._ends[enough - 1]
        del self._marks[:enough], self._ends[:enough]
        return last
