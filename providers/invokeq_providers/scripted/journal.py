"""The journal of the fake vendor: events of calls, in memory and, for other processes, in a file.

An LLM call has the events `started`, `tools:<names>`, and one of `finished`, `failed` and `closed`;
`closed` means an early end by the consumer. Events of the other kinds of call end with the number
of the call within the invocation. In `started:<number>:<size>` the size counts texts or documents.
"""

import os
from collections import deque
from collections.abc import Sequence
from typing import Final

JOURNAL_SIZE: Final = 10_000  # events; a long measurement forgets its oldest

Entries = deque[tuple[str, str]]


class Journal:
    """A log of events in `entries` and, with a path, in a file of lines `<request id> <event>`."""

    def __init__(self, entries: Entries, path: str | None) -> None:
        self._entries = entries
        self._path = path
        self._file: int | None = None

    def open(self) -> None:
        """Open the file, if the journal has one; idempotent."""
        if self._path is not None and self._file is None:
            # O_APPEND: several processes write whole lines to one file.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = os.open(self._path, flags, 0o600)

    def close(self) -> None:
        """Close the file, if open."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def note(self, request_id: str, event: str) -> None:
        """Append an event of a call."""
        self._entries.append((request_id, event))
        if self._file is not None:
            os.write(self._file, f"{request_id} {event}\n".encode())


def peak(events: Sequence[str]) -> int:
    """Return the highest number of concurrent calls in the events of one invocation."""
    running = most = 0
    for event in events:
        running += 1 if event.startswith("started") else -1
        most = max(most, running)
    return most
