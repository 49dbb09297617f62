"""The value of a reader's lease, `invokeq:{<id>}:reader`: how far the reader has come, or an order.

| value | meaning |
|---|---|
| `` | somebody is going to read, and has taken nothing yet |
| `1-57 12` | the last event that the reader's caller is done with, and how often it was renewed |
| `cancel:<reason>` | stop the invocation |
| `detached` | run on without a reader |
"""

from typing import Final, NamedTuple

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.events import START, EventId

DETACHED: Final = b"detached"

_CANCEL: Final = b"cancel:"
_LONGEST_ID: Final = 41
"""Two numbers of 64 bits and the hyphen; anything longer is no id."""


class Lease(NamedTuple):
    """What a lease says; `cancel` is the reason to stop, where it is an order to."""

    position: EventId = START
    cancel: str | None = None
    detached: bool = False

    @property
    def is_order(self) -> bool:
        return self.detached or self.cancel is not None


def cancel_order(reason: str) -> bytes:
    """Return the order to stop; `reason` is what the `cancelled` event will say."""
    return _CANCEL + reason.encode()


def position_lease(position: EventId, renewals: int) -> bytes:
    """Return the lease of a live reader; no two renewals are equal."""
    return b"%d-%d %d" % (*position, renewals)


def parse_lease(value: bytes) -> Lease:
    """Read a lease; what cannot be read is that of a reader which has taken nothing."""
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
