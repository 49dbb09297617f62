"""The lease of a reader on an invocation: renewed in time, with the reader's position.

The position is the worker's backpressure: a run stops asking the provider while the reader is more
than a window behind. So positions must not be held back. A position goes with the next read once
the caller has taken TELL_EVENTS or TELL_BYTES, or when a read was empty. A position goes alone
while the caller is busy with entries fetched long ago, after TELL_ALONE times as much, or when the
lease is due for renewal.

All submitters of the same request id share one lease. The first submitter writes the lease. The
others follow: a follower keeps the lease from lapsing, and takes over once the first submitter has
not renewed the lease for a whole life. Orders to cancel or detach share the key, and the last write
wins, so a reader writes an overwritten order back.

Cost: one SET in front of a read, every TELL_EVENTS events. Only callers far behind the fetched
entries pay a separate round trip. A reader without a lease pays none.
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
"""Progress worth a command: a quarter of the smallest window of a worker."""

TELL_ALONE: Final = 16
"""Multiple of TELL_EVENTS and TELL_BYTES worth a separate round trip."""


class Lease:
    """The lease of one reader; `seconds` after the last renewal the invocation is cancelled."""

    def __init__(self, request_id: str, seconds: float, *, held: bool, first: bool) -> None:
        self._key = keys.reader(request_id)
        self.seconds: float = seconds
        self._held = held
        self._first = first
        self._follows = not first
        # The push has written the first submitter's lease; a follower has yet to see the key.
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
        """Return whether the reader keeps the invocation alive."""
        return self._held

    def let_go(self) -> None:
        """Stop renewing the lease."""
        self._held = False

    def missed_renewal(self) -> None:
        """Note that the renewal did not reach Redis: it is due again."""
        self._renewed_at = float("-inf")

    def took(self, event_id: EventId) -> None:
        """Record the position behind an event handled by the caller."""
        self._position = event_id
        self._events += 1

    def took_bytes(self, size: int) -> None:
        """Record the bytes of events handled by the caller."""
        self._bytes += size

    @property
    def is_due(self) -> bool:
        """Whether to renew now, progress or not."""
        return self._held and time.monotonic() - self._renewed_at > self.seconds / 3

    @property
    def has_much_news(self) -> bool:
        """Return whether the progress is worth a separate round trip."""
        return self._has_news(TELL_ALONE) or self.is_due

    @property
    def longest_wait_ms(self) -> int:
        """Limit of milliseconds for a blocking read, so the lease cannot lapse meanwhile."""
        return int(self.seconds * 1000 / 3) if self._held else sys.maxsize

    def for_read(self, *, quiet: bool) -> Command | None:
        """Return the renewal to send with a read, or None; `quiet` if the last read was empty."""
        # The worker may be waiting for exactly the position that is held back here, so a silent
        # read is followed by whatever progress there is.
        news = self._has_news(1) or (quiet and self._held and self._events > 0)
        return self.renewal() if news or self.is_due else None

    def renewal(self) -> Command:
        """Return the command to renew the lease with the position; `heard()` takes the reply."""
        self._events = self._bytes = 0
        self._renewed_at = time.monotonic()
        life = ("EX", int(self.seconds))
        if self._follows:
            return ("GETEX", self._key, *life)
        self._renewals += 1
        value = position_lease(self._position, self._renewals)
        # A batch whose connection broke may have been executed and is sent again: then SET ... GET
        # returns the value of this very renewal, so the last two values count as our own.
        self._written = [*self._written[-1:], value]
        return ("SET", self._key, value, *life, "GET")

    def heard(self, value: Reply) -> list[Command]:
        """Process the lease from before the renewal; return commands to send at once, mostly none.

        An order to cancel or detach, overwritten by the renewal, is among the commands.
        """
        lease = parse_lease(value or b"")
        if lease.is_order:
            # Race: the order was written between two renewals, and SET has just overwritten it.
            # The worker reads the key once a second and could miss the order: write it back.
            self.let_go()
            life = DETACHED_TTL if lease.detached else CANCEL_MEMORY
            return [("SET", self._key, value, "EX", life)]
        now = time.monotonic()
        if self._follows:
            # The value counts renewals, so one that stays the same for a whole life means that the
            # reader which wrote it has gone.
            if value is None or (value == self._seen and now - self._seen_at > self.seconds):
                self._follows = False
                self._renewed_at = float("-inf")
            elif value != self._seen:
                self._seen, self._seen_at = value, now
        elif not self._first and value and value not in self._written:
            # Two readers write: this one took over, and the first is back. The first never gives
            # way, so exactly one is left.
            self._follows = True
            self._seen, self._seen_at = value, now
        return []

    def _has_news(self, times: int) -> bool:
        if not self._held or self._follows:
            return False
        return self._events >= TELL_EVENTS * times or self._bytes >= TELL_BYTES * times
