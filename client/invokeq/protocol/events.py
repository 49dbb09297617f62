"""The events of a result stream, and how they are packed into stream entries.

Order: the events of one stream come in the order of their ids, which only grow. Loss: none while
the stream lives; a reader continues after any id it has seen. Duplication: Redis refuses an id that
is not above the last one, so an event that is written twice is there once.

An event's id is `<attempt>-<sequence>`. Events that are ready at the same moment share one stream
entry, and the entry bears the id of the *last* of them: an entry `1-9` with three chunks holds 1-7,
1-8 and 1-9. So a reader may continue after any event, even in the middle of an entry.

An entry has the fields `k` (kind), `d` (JSON; for chunks a JSON array, one item an event) and, for
kinds that carry bytes, `b`: audio and vectors travel as they are, never as text. Events of several
kinds share an entry of the kind `events`, whose `d` is an array of `[kind, data]`: a short answer
is one entry from `started` to `done`.
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
    """What an event says; the last three end a stream."""

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
"""Kinds that carry a piece of the answer: once one is written, the invocation has spoken."""

DEADLINE: Final = "deadline"
"""The reason of a `cancelled` event that readers get as a DeadlineExceededError."""

SEVERAL: Final = "events"
"""What an entry is called whose events are of several kinds."""

_KINDS: Final[dict[bytes, EventKind | None]] = {
    SEVERAL.encode(): None,
    **{kind.encode(): kind for kind in EventKind},
}
_WITHOUT_BYTES: Final[dict[str, EventKind]] = {
    kind.value: kind for kind in EventKind if kind not in {EventKind.SEGMENT, EventKind.VECTORS}
}

LAST_SEQUENCE: Final = 2**64 - 1
"""The largest sequence Redis knows; an event `<attempt>-LAST_SEQUENCE` shuts that attempt out."""

_MOST_DIGITS: Final = len(str(LAST_SEQUENCE))


class EventId(NamedTuple):
    """`<attempt>-<sequence>`; ids of one stream compare in the order in which they were written."""

    attempt: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.sequence}"

    @classmethod
    def parse(cls, text: str | bytes) -> "EventId":
        """Read an id; InvalidRequestError if it is not two whole numbers joined by a hyphen."""
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
"""Before every event: reading after it gives the whole stream."""


class Event(NamedTuple):
    """One event; `data` is the decoded JSON of the kind: see the functions that build them."""

    id: EventId
    kind: EventKind
    data: Any
    blob: bytes = b""


def started(worker: str, at: float) -> bytes:
    """`{worker, at}`: a worker began attempt n at `at` seconds since the epoch."""
    return orjson.dumps({"worker": worker, "at": at})


def retry(error: dict[str, Any], model: str, call: int, wait: float, then: Any) -> bytes:
    """`{error, model, call, wait, next}`: the `call`-th vendor call, of `model`, failed.

    After `wait` seconds the model in `next` is called, nobody if it is null. Readers of the answer
    pass over it.
    """
    then = None if then is None else str(then)
    wait = round(wait, 3)
    return orjson.dumps(
        {"error": error, "model": model, "call": call, "wait": wait, "next": then}, default=str
    )


def lost(worker: str) -> bytes:
    """`{worker}`: the attempt's worker died; nothing more of this attempt can come."""
    return orjson.dumps({"worker": worker})


def segment(mime_type: str | None) -> bytes:
    """`{mime_type}`, and in `b` one audio segment that plays alone."""
    return orjson.dumps({"mime_type": mime_type})


def vectors(start: int, count: int, dimensions: int, dtype: str) -> bytes:
    """`{start, count, dimensions, dtype}`, and in `b` the vectors of texts `start` and on.

    `dtype` is `<f4` or `<f8`: little-endian floats, row after row, in as few bits as are exact.
    """
    return orjson.dumps({"start": start, "count": count, "dimensions": dimensions, "dtype": dtype})


def scores(start: int, ranked: Sequence[tuple[int, float]]) -> bytes:
    """`{start, scores}`: the ranks `start` and on, each `[index, score]` of one document.

    The texts stay with the caller, who has them.
    """
    return orjson.dumps({"start": start, "scores": ranked})


def result(value: dict[str, Any]) -> bytes:
    """`{...}`: the result of a call, without what came before it in events of its own."""
    return orjson.dumps(value, default=str)


def done(usage: dict[str, Any] | None) -> bytes:
    """`{usage}`: the answer is complete."""
    return orjson.dumps({"usage": usage})


def failed(error: dict[str, Any]) -> bytes:
    """`{error}`: an error as `InvokeqError.to_wire()` gives it."""
    return orjson.dumps({"error": error}, default=str)


def cancelled(reason: str, usage: dict[str, Any] | None = None, stage: str | None = None) -> bytes:
    """`{reason, usage}`: who stopped it, and what had been used by then where that is known.

    `usage` has `estimated: true` where the vendor had not told its tokens yet. With the reason
    DEADLINE there is `stage` too: how far it had come.
    """
    told = {"reason": reason, "usage": usage}
    return orjson.dumps(told if stage is None else {**told, "stage": stage})


def entry_fields(kinds: Sequence[EventKind], payloads: Sequence[bytes]) -> tuple[str, bytes]:
    """Return `k` and `d` of the entry of consecutive events: JSON, one document an event."""
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
    """Return the fields of an entry as Redis replies them: names and values in turn."""
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
    """Return the events up to `last` that are items of one array; without a kind each says its
    own."""
    items = cast(list[Any], data) if isinstance(data, list) else []
    count = len(items)
    if kind is not None and count == 1:
        return [Event(last, kind, items[0])]
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
