"""Server-sent events from the body of a streamed HTTP answer.

Bytes in, bytes out. Events keep the order, and each comes out once. An event cut off by the end of
the body does not come out. Only the field `data` is read, because vendors of models use no other
field; comments and blank lines are skipped. Source: WHATWG HTML, "Server-sent events".
"""

from typing import Final

MAX_EVENT_BYTES: Final = 32 * 1024 * 1024  # no vendor sends as much; a peer gone mad would


class EventTooLargeError(ValueError):
    """One event is over `MAX_EVENT_BYTES`."""


class EventDecoder:
    """Decoder of one body, fed with the pieces from the network."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._pending = 0
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Add the next bytes of the body, and return the data of the completed events.

        Raises `EventTooLargeError` for an event over `MAX_EVENT_BYTES`.
        """
        self._pending += len(piece)
        if self._pending > MAX_EVENT_BYTES:
            raise EventTooLargeError(f"an event is over {MAX_EVENT_BYTES} bytes")
        # Joined only at a line end: joining every piece would cost quadratic time for a long line.
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
        """Return the event completed by the end of the body: some vendors omit the blank line."""
        return self.feed(b"\n\n")
