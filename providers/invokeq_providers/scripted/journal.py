"""What the fake vendor saw: events of calls, in memory and, for other processes, in a file.

An LLM call has the events `started`, `tools:<names>`, and one of `finished`, `failed` and `closed`:
the last means that the consumer left before the end. The other kinds of call have the number of the
call within its invocation behind the event, and `started:<number>:<size>` tells how many texts,
documents or bytes it got.
"""

import os
from collections import deque
from collections.abc import Sequence
from typing import Final

JOURNAL_SIZE: Final = 10_000  # events; a long measurement forgets its oldest

Entries = deque[tuple[str, str]]


class Journal:
    """Notes events in `entries`, and in a file if there is one: `<request id> <event>` a line."""

    def __init__(self, entries: Entries, path: str | None) -> None:
        self._entries = entries
        self._path = path
        self._file: int | None = None

    def open(self) -> None:
        """Open the file, unless it is open or there is none."""
        if self._path is not None and self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = os.open(self._path, flags, 0o600)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def note(self, request_id: str, event: str) -> None:
        """Note an event of a call."""
        self._entries.append((request_id, event))
        if self._file is not None:
            os.write(self._file, f"{request_id} {event}\n".encode())


def peak(events: Sequence[str]) -> int:
    """Tell how many calls of one invocation ran at once, at most."""
    running = most = 0
    for event in events:
        running += 1 if event.startswith("started") else -1
        most = max(most, running)
    return most
