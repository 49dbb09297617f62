"""The value of a reader's lease, `invokeq:{<id>}:reader`: the reader's position, or an order.

| value | meaning |
|---|---|
| `` | a reader will come, and has read no event yet |
| `1-57 12` | the last event processed by the reader's caller, and the number of renewals |
| `cancel:<reason>` | stop the invocation |
| `detached` | run on without a reader |
"""

from typing import Final, NamedTuple

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.events import START, EventId

DETACHED: Final = b"detached"

_CANCEL: Final = b"cancel:"
_LONGEST_ID: Final = 41
"""Two numbers of 64 bits and the hyphen; no id is longer."""


class Lease(NamedTuple):
    """A decoded lease; `cancel` is the reason of an order to stop, else None."""

    position: EventId = START
    cancel: str | None = None
    detached: bool = False

    @property
    def is_order(self) -> bool:
        """Return whether the lease is an order instead of a reader's position."""
        return self.detached or self.cancel is not None


def cancel_order(reason: str) -> bytes:
    """Return the order to stop; `reason` becomes the reason of the `cancelled` event."""
    return _CANCEL + reason.encode()


def position_lease(position: EventId, renewals: int) -> bytes:
    """Return the lease of a live reader; no two renewals are equal."""
    # A reader that waits keeps one position: only the count shows a worker that the reader lives.
    return b"%d-%d %d" % (*position, renewals)


def parse_lease(value: bytes) -> Lease:
    """Decode a lease; return the lease of a new reader for an unreadable value."""
    # Plugins can write the key: a strange value must neither end a worker's loop nor an invocation.
    if value == DETACHED:
        return Lease(detached=True)
    if value.startswith(_CANCEL):
        return Lease(cancel=value.removeprefix(_CANCEL).decode(errors="replace"))
    position, _, _ = value.partition(b" ")
    if not position or len(position) > _LONGEST_ID:
        return Lease()
    try:
        return Lease(EventId.parse(position))
    except (InvalidRequestError, UnicodeDecodeError):
        return Lease()
