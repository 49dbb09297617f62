"""The lease that a reader holds on its invocation: renewed in time, and saying how far it has come.

The worker waits for the reader that it hears of here, so news must not stay behind. It goes with
the next read once the caller has taken TELL_EVENTS or TELL_BYTES, or when a read has found nothing;
and alone, while the caller is busy with what was fetched long ago, after TELL_ALONE times as much
or when the lease needs renewal.

There is one lease for all who submitted the same request id. The first of them writes it; the
others follow: they keep it from lapsing, and one takes it over when it has not been renewed for its
whole life. Orders share the key, and the last write wins, so whoever has overwritten one puts it
back.

Cost: one SET in front of a read, every TELL_EVENTS events; a round trip of its own only for callers
that are behind what was fetched for them. A reader that holds no lease pays nothing.
"""

import sys
import time
from typing import Final

from invokeq.operations.control import CANCEL_MEMORY, DETACHED_TTL
from invokeq.protocol.events import START, EventId
from invokeq.protocol.lease import parse_lease, position_lease
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply

TELL_EVENTS: Final = 64
TELL_BYTES: Final = 64 * 1024
"""News that is worth a command: a quarter of the smallest window that a worker may have."""

TELL_ALONE: Final = 16
"""Times of that which are worth a round trip."""


class Lease:
    """The lease of one reader; after `seconds` without a word, its invocation is cancelled."""

    def __init__(self, request_id: str, seconds: float, *, held: bool, first: bool) -> None:
        self._key = keys.reader(request_id)
        self._seconds = seconds
        self._held = held
        self._first = first
        self._follows = not first
        self._renewed_at = time.monotonic() if first else float("-inf")
        self._position = START
        self._events = 0
        self._bytes = 0
        self._renewals = 0
        self._written: list[bytes] = []
        self._seen: Reply = None
        self._seen_at = time.monotonic()

    @property
    def held(self) -> bool:
        """Whether the invocation lives by this reader."""
        return self._held

    def let_go(self) -> None:
        """Renew it no longer."""
        self._held = False

    def took(self, event_id: EventId) -> None:
        """Note that the caller is done with an event."""
        self._position = event_id
        self._events += 1

    def took_bytes(self, size: int) -> None:
        """Note the bytes of events that the caller is done with."""
        self._bytes += size

    @property
    def is_due(self) -> bool:
        """Whether it is to be renewed now, news or not."""
        return self._held and time.monotonic() - self._renewed_at > self._seconds / 3

    @property
    def has_much_news(self) -> bool:
        """Whether the news is worth a round trip of its own."""
        return self._has_news(TELL_ALONE) or self.is_due

    @property
    def longest_wait_ms(self) -> int:
        """How long a read may wait without the lease lapsing meanwhile."""
        return int(self._seconds * 1000 / 3) if self._held else sys.maxsize

    def for_read(self, *, quiet: bool) -> list[Command]:
        """Give what is to go with a read; `quiet` if the one before it found nothing."""
        news = self._has_news(1) or (quiet and self._held and self._events > 0)
        return self.renewal() if news or self.is_due else []

    def renewal(self) -> list[Command]:
        """Renew the lease, and say how far the caller has come; the reply goes to `heard()`."""
        self._events = self._bytes = 0
        self._renewed_at = time.monotonic()
        life = ("EX", int(self._seconds))
        if self._follows:
            return [("GETEX", self._key, *life)]
        self._renewals += 1
        value = position_lease(self._position, self._renewals)
        self._written = [*self._written[-1:], value]  # a broken batch may have been carried out
        return [("SET", self._key, value, *life, "GET")]

    def heard(self, value: Reply) -> list[Command]:
        """Take in what the lease said; gives what must be put right at once, mostly nothing."""
        lease = parse_lease(value or b"")
        if lease.is_order:
            self.let_go()
            life = DETACHED_TTL if lease.detached else CANCEL_MEMORY
            return [("SET", self._key, value, "EX", life)]
        now = time.monotonic()
        if self._follows:
            if value is None or (value == self._seen and now - self._seen_at > self._seconds):
                self._follows = False
                self._renewed_at = float("-inf")
            elif value != self._seen:
                self._seen, self._seen_at = value, now
        elif not self._first and value and value not in self._written:
            self._follows = True  # the one that seemed gone is back
            self._seen, self._seen_at = value, now
        return []

    def _has_news(self, times: int) -> bool:
        if not self._held or self._follows:
            return False
        return self._events >= TELL_EVENTS * times or self._bytes >= TELL_BYTES * times
