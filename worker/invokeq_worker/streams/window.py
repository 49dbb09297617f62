"""How much of one stream Redis holds, and how much of that its reader has not taken yet.

Arithmetic only. While a stream has a reader, its run waits once the reader is a window behind, and
what the reader has taken is trimmed once Redis holds more than the window in bytes. So a stream
that is smaller than the window keeps everything, for readers that come late, and a larger one keeps
its last window. A stream without a reader never waits and is never trimmed; it has a bound of its
own.

Cost: an addition for each event and a comparison for each piece of an answer; memory for at most
MARKS places, and nothing for a stream that is smaller than a MARKS-th of the window.
"""

from bisect import bisect_left, bisect_right
from typing import Final

from invokeq_worker.config.values import Window

MARKS: Final = 64
"""Places of a window at which it can be trimmed; more would trim by smaller bits, more often."""

ENTRY_OVERHEAD: Final = 64
"""Bytes that Redis needs for an entry beside what is in it, about."""


class StreamWindow:
    """The bytes of one attempt's stream, and who has taken them; sequences are of its events."""

    __slots__ = (
        "_ends",
        "_marks",
        "_taken",
        "_taken_bytes",
        "_trimmed",
        "bytes",
        "has_reader",
        "window",
    )

    def __init__(self, window: Window) -> None:
        self.window: Window = window
        self.has_reader: bool = True
        self.bytes: int = 0
        self._taken = -1
        self._taken_bytes = 0
        self._trimmed = 0
        self._marks: list[int] = []  # sequences of events that end an entry
        self._ends: list[int] = []  # the bytes that had been said with them

    def entry(self, last: int) -> None:
        """Note that a new entry begins after event `last`."""
        if self.has_reader:
            marked = self._ends[-1] if self._ends else self._trimmed
            if self.bytes - marked >= self.window.bytes // MARKS:
                self._marks.append(last)
                self._ends.append(self.bytes)
        self.bytes += ENTRY_OVERHEAD

    def is_full(self, last: int) -> bool:
        """Tell whether no more may be said after event `last`."""
        if self.has_reader:
            behind = self.bytes - self._taken_bytes
            return behind > self.window.bytes or last - self._taken > self.window.events
        return self.bytes - self._trimmed > self.window.detached_bytes

    def take(self, position: int, last: int) -> None:
        """Learn that the reader is done with event `position`, of those up to `last`.

        A position never goes back: after a restart, Redis may know an older one.
        """
        position = min(position, last)
        if position <= self._taken:
            return
        self._taken = position
        passed = bisect_right(self._marks, position)
        if position == last:
            self._taken_bytes = self.bytes
        elif passed:
            self._taken_bytes = self._ends[passed - 1]

    @property
    def can_trim(self) -> bool:
        """Whether there is too much of the stream, and something that may go."""
        return (
            self.has_reader
            and self.bytes - self._trimmed > self.window.bytes
            and bool(self._marks)
            and self._marks[0] <= self._taken
        )

    def trim(self) -> int | None:
        """Give the event up to which the stream is to be trimmed now; the last entry stays."""
        if not self.can_trim:
            return None
        passed = bisect_right(self._marks, self._taken)
        enough = min(bisect_left(self._ends, self.bytes - self.window.bytes) + 1, passed)
        last, self._trimmed = self._marks[enough - 1], self._ends[enough - 1]
        del self._marks[:enough], self._ends[:enough]
        return last
