"""Splits the body of a streamed HTTP answer into server-sent events.

Bytes in, bytes out: events keep their order, each comes out once, and one that the body breaks off
in the middle of does not come out. Only the field `data` is read, because vendors of models use no
other; comments and blank lines are skipped.
"""

from typing import Final

MAX_EVENT_BYTES: Final = 32 * 1024 * 1024  # no vendor sends as much; a peer gone mad would


class EventTooLargeError(ValueError):
    """One event is over `MAX_EVENT_BYTES`."""


class EventDecoder:
    """Decodes one body, fed piece by piece as the network delivers it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._pending = 0
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes of the body, and give the data of the events that they complete."""
        self._pending += len(piece)
        if self._pending > MAX_EVENT_BYTES:
            raise EventTooLargeError(f"an event is over {MAX_EVENT_BYTES} bytes")
        self._pieces.append(piece)
        if b"\n" not in piece:
            return []
        lines = b"".join(self._pieces).split(b"\n")
        self._pieces = [lines.pop()]
        self._pending = len(self._pieces[0]) + sum(map(len, self._data))
        events: list[bytes] = []
        for line in lines:
            text = line.removesuffix(b"\r")
            if text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
            elif not text and self._data:
                events.append(b"\n".join(self._data))
                self._data.clear()
        return events

    def finish(self) -> list[bytes]:
        """Give the event that the end of the body completes: some leave out the blank line."""
        return self.feed(b"\n\n")
