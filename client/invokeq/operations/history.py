"""Read the failed vendor calls of an invocation from the stream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from invokeq.operations.plan import Plan
from invokeq.protocol import events
from invokeq.protocol.errors import ProtocolError
from invokeq.protocol.events import Event, EventKind
from invokeq.protocol.redis import keys
from invokeq.transport.batch import Batch

PAGE: Final = 32
"""Entries fetched at once; workers pack up to 256 KB into one."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Limit of stream bytes to search; most vendor calls fail before any output."""


@dataclass(frozen=True, slots=True)
class VendorRetry:
    """A failed vendor call; `id` is the event id, `call` the number within the attempt.

    `error` is an object for `error_from_wire`. After `wait` seconds the model in `next` is called;
    None means no further call. Models are `provider/model`.
    """

    id: str
    model: str
    call: int
    error: dict[str, Any]
    wait: float
    next: str | None

    @property
    def problem(self) -> str:
        """Return the error in one sentence."""
        return str(self.error.get("message") or self.error.get("code"))


def retry_of(event: Event) -> VendorRetry:
    """Decode a `retry` event; ProtocolError if fields are missing or wrong."""
    data = event.data
    try:
        following = data["next"]
        return VendorRetry(
            id=str(event.id),
            model=str(data["model"]),
            call=int(data["call"]),
            error=dict(data["error"]),
            wait=float(data["wait"]),
            next=None if following is None else str(following),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(where=f"event {event.id}", problem=repr(error)) from None


def read_retries(request_id: str, most: int = MOST_BYTES) -> Plan[list[VendorRetry]]:
    """Return the retries in the first `most` bytes of a stream.

    A round trip for every PAGE entries.
    """
    found: list[VendorRetry] = []
    size, last = 0, str(events.START)
    while size < most:
        (reply,) = yield Batch([("XREAD", "COUNT", PAGE, "STREAMS", keys.events(request_id), last)])
        entries: list[Any] = reply[0][1] if reply else []
        found += _retries_in(entries)
        if len(entries) < PAGE:
            break
        size += sum(len(value) for _, flat in entries for value in flat)
        last = entries[-1][0].decode()
    return found


def _retries_in(entries: Iterable[Any]) -> Iterator[VendorRetry]:
    for entry_id, flat in entries:
        fields = events.fields_of(flat)
        if fields.get(b"k") == EventKind.CHUNK.value.encode():
            continue  # the most there is, and none of it is decoded for this
        for event in events.unpack(entry_id, fields):
            if event.kind is EventKind.RETRY:
                yield retry_of(event)
