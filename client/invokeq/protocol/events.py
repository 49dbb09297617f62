"""The events of a result stream, and the packing of events into stream entries.

Order: the events of one stream come in the order of the ids, which only grow. Loss: none while the
stream lives; a reader continues after any id seen before. Duplication: none; Redis refuses an id
not above the last one, so an event written twice appears once.

An event's id is `<attempt>-<sequence>`. Events that are ready at the same moment share one stream
entry, and the entry bears the id of the *last* event: an entry `1-9` with three chunks holds 1-7,
1-8 and 1-9. So a reader may continue after any event, even in the middle of an entry.

An entry has the fields `k` (kind), `d` (JSON; for chunks a JSON array, one item an event) and, for
kinds with bytes, `b`: audio and vectors travel as raw bytes, never as text. Events of several kinds
share an entry of the kind `events`, where `d` is an array of `[kind, data]`: a short answer is one
entry from `started` to `done`.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, cast

import orjson

from invokeq.protocol.errors import InvalidRequestError, ProtocolError

__all__ = [
    "ANSWERS",
    "DEADLINE",
    "Event",
    "EventId",
    "EventKind",
    "LAST_SEQUENCE",
    "SEVERAL",
    "START",
    "TERMINAL",
    "cancelled",
    "done",
    "entry_fields",
    "failed",
    "fields_of",
    "lost",
    "result",
    "retry",
    "scores",
    "segment",
    "started",
    "unpack",
    "vectors",
]


class EventKind(StrEnum):
    """The kinds of events; the last three end a stream."""

    STARTED = "started"
    RETRY = "retry"
    CHUNK = "chunk"
    SEGMENT = "segment"
    VECTORS = "vectors"
    SCORES = "scores"
    RESULT = "result"
    LOST = "lost"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED})

ANSWERS: Final = frozenset(
    {EventKind.CHUNK, EventKind.SEGMENT, EventKind.VECTORS, EventKind.SCORES, EventKind.RESULT}
)
"""Kinds with a piece of the answer: once one is written, the invocation has emitted output."""

DEADLINE: Final = "deadline"
"""The reason of a `cancelled` event which readers get as a DeadlineExceededError."""

SEVERAL: Final = "events"
"""The kind of an entry with events of several kinds."""

_KINDS: Final[dict[bytes, EventKind | None]] = {
    SEVERAL.encode(): None,
    **{kind.encode(): kind for kind in EventKind},
}
# An entry has one field `b`, so an event with bytes never shares an entry.
_WITHOUT_BYTES: Final[dict[str, EventKind]] = {
    kind.value: kind for kind in EventKind if kind not in {EventKind.SEGMENT, EventKind.VECTORS}
}

# Race: a worker taken for dead may still write. Ids of a stream only grow, so after the reaper's
# event `<attempt>-LAST_SEQUENCE` Redis refuses all further events of the attempt.
LAST_SEQUENCE: Final = 2**64 - 1
"""The largest sequence of Redis: an event `<attempt>-LAST_SEQUENCE` fences the attempt."""

_MOST_DIGITS: Final = len(str(LAST_SEQUENCE))


class EventId(NamedTuple):
    """`<attempt>-<sequence>`; ids of one stream compare in the order of writing."""

    attempt: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.sequence}"

    @classmethod
    def parse(cls, text: str | bytes) -> "EventId":
        """Read an id; raise InvalidRequestError unless two whole numbers are joined by a hyphen."""
        raw = text if isinstance(text, bytes) else text.encode(errors="replace")
        attempt, _, sequence = raw.partition(b"-")
        if _is_number(attempt) and _is_number(sequence):
            return cls(int(attempt), int(sequence))
        shown = raw.decode(errors="replace")[:50]
        raise InvalidRequestError(
            field="after", problem=f"must look like 1-57 (attempt-sequence), not {shown!r}"
        )


def _is_number(text: bytes) -> bool:
    """Return whether Redis accepts a text as a number in the id of a stream entry."""
    return text.isdigit() and len(text) <= _MOST_DIGITS and int(text) <= LAST_SEQUENCE


START: Final = EventId(0, 0)
"""Before every event: a reader after START gets the whole stream."""


class Event(NamedTuple):
    """One event; `data` is the decoded JSON of the kind, as the function of the kind builds."""

    id: EventId
    kind: EventKind
    data: Any
    blob: bytes = b""


def started(worker: str, at: float) -> bytes:
    """Encode `{worker, at}`: a worker began the attempt at `at` seconds since the epoch."""
    return orjson.dumps({"worker": worker, "at": at})


def retry(error: dict[str, Any], model: str, call: int, wait: float, then: Any) -> bytes:
    """Encode `{error, model, call, wait, next}`: the `call`-th vendor call, of `model`, failed.

    After `wait` seconds the model `next` is called, or none if `next` is null. Readers of the
    answer skip the event.
    """
    then = None if then is None else str(then)
    wait = round(wait, 3)
    return orjson.dumps(
        {"error": error, "model": model, "call": call, "wait": wait, "next": then}, default=str
    )


def lost(worker: str) -> bytes:
    """Encode `{worker}`: the attempt's worker died, and the attempt writes no more events."""
    return orjson.dumps({"worker": worker})


def segment(mime_type: str | None) -> bytes:
    """Encode `{mime_type}`; the field `b` holds one audio segment, playable alone."""
    return orjson.dumps({"mime_type": mime_type})


def vectors(start: int, count: int, dimensions: int, dtype: str) -> bytes:
    """Encode `{start, count, dimensions, dtype}`; `b` holds the vectors of texts `start` and on.

    `b` has shape (count, dimensions), row after row. `dtype` is `<f4` or `<f8`: little-endian
    floats, in as few bits as are exact.
    """
    return orjson.dumps({"start": start, "count": count, "dimensions": dimensions, "dtype": dtype})


def scores(start: int, ranked: Sequence[tuple[int, float]]) -> bytes:
    """Encode `{start, scores}`: the ranks `start` and on, each `[index, score]` of one document.

    The texts of the documents stay with the caller.
    """
    return orjson.dumps({"start": start, "scores": ranked})


def result(value: dict[str, Any]) -> bytes:
    """Encode `{...}`: the result of a call, without the parts sent in earlier events."""
    return orjson.dumps(value, default=str)


def done(usage: dict[str, Any] | None) -> bytes:
    """Encode `{usage}`: the answer is complete."""
    return orjson.dumps({"usage": usage})


def failed(error: dict[str, Any]) -> bytes:
    """Encode `{error}`: an error in the form of `InvokeqError.to_wire()`."""
    return orjson.dumps({"error": error}, default=str)


def cancelled(reason: str, usage: dict[str, Any] | None = None, stage: str | None = None) -> bytes:
    """Encode `{reason, usage}`: the cause of the stop, and the usage up to the stop where known.

    `usage` has `estimated: true` where the vendor had not reported tokens yet. With the reason
    DEADLINE there is `stage` too: the progress of the call, such as "while the model answered".
    """
    told = {"reason": reason, "usage": usage}
    return orjson.dumps(told if stage is None else {**told, "stage": stage})


def entry_fields(kinds: Sequence[EventKind], payloads: Sequence[bytes]) -> tuple[str, bytes]:
    """Return `k` and `d` of the entry of consecutive events: JSON, one document an event."""
    # The common case of a stream: the kind is written once, not once a chunk.
    chunks = kinds.count(EventKind.CHUNK)
    if chunks == len(kinds):
        return EventKind.CHUNK.value, b"[" + b",".join(payloads) + b"]"
    if len(kinds) == 1:
        return kinds[0].value, payloads[0]
    pairs = (
        b'["%b",%b]' % (kind.encode(), data) for kind, data in zip(kinds, payloads, strict=True)
    )
    return SEVERAL, b"[" + b",".join(pairs) + b"]"


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the fields of an entry from Redis's flat reply: names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def unpack(entry_id: bytes, fields: dict[bytes, bytes]) -> list[Event]:
    """Return the events of one stream entry; raise ProtocolError for a foreign entry."""
    last = EventId.parse(entry_id)
    try:
        kind = _KINDS[fields[b"k"]]
        data = orjson.loads(fields[b"d"])
    except (KeyError, ValueError) as error:
        raise _unreadable(last, f"cannot be read ({error!r})") from None
    if kind is EventKind.CHUNK or kind is None:
        return _unpack_list(last, kind, data)
    if not isinstance(data, dict):
        raise _unreadable(last, "has no object as data")
    return [Event(last, kind, data, fields.get(b"b", b""))]


def _unpack_list(last: EventId, kind: EventKind | None, data: Any) -> list[Event]:
    """Return one event an item of an array, the last with the id `last`.

    Without `kind`, each item is a pair of a kind and data.
    """
    items = cast(list[Any], data) if isinstance(data, list) else []
    count = len(items)
    if kind is not None and count == 1:
        return [Event(last, kind, items[0])]
    # An entry with more items than `last` has predecessors would begin below sequence 0.
    if not 0 < count <= last.sequence + 1:
        raise _unreadable(last, "has no list of events")
    attempt, first = last.attempt, last.sequence - count + 1
    ids = [EventId(attempt, first + i) for i in range(count)]
    if kind is None:
        return list(map(_one_of_several, ids, items))
    return [Event(event_id, kind, item) for event_id, item in zip(ids, items, strict=True)]


def _one_of_several(event_id: EventId, item: Any) -> Event:
    match item:
        case [str() as name, data] if name in _WITHOUT_BYTES:
            kind = _WITHOUT_BYTES[name]
            if kind is EventKind.CHUNK or isinstance(data, dict):
                return Event(event_id, kind, data)
        case _:
            pass
    raise _unreadable(event_id, "is no pair of a kind and its data")


def _unreadable(event_id: EventId, problem: str) -> ProtocolError:
    return ProtocolError(where=f"event {event_id}", problem=problem)
