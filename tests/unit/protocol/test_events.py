"""Event ids and the packing of events into entries."""

import orjson
import pytest

from invokeq.protocol import events
from invokeq.protocol.errors import InvalidRequestError, ProtocolError
from invokeq.protocol.events import EventId, EventKind, entry_fields, unpack


def test_ids_order_by_attempt_then_sequence() -> None:
    ids = [EventId(1, 2), EventId(1, 10), EventId(2, 0), EventId(10, 1)]
    assert sorted([ids[2], ids[0], ids[3], ids[1]]) == ids
    assert [EventId.parse(str(i)) for i in ids] == ids
    assert EventId.parse(b"3-4") == EventId(3, 4)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "a-b", "1-2-3", "1.0-2", "$", "+", "٣-٤", " 1-2"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="after"):
        EventId.parse(text)


def test_an_entry_bears_the_id_of_its_last_event() -> None:
    kind, data = entry_fields([EventKind.CHUNK] * 3, [b'"a"', b'"b"', b'"c"'])
    assert (kind, data) == ("chunk", b'["a","b","c"]')
    found = unpack(b"2-9", {b"k": b"chunk", b"d": data})
    assert [(str(e.id), e.data) for e in found] == [("2-7", "a"), ("2-8", "b"), ("2-9", "c")]


def test_events_of_several_kinds_share_an_entry() -> None:
    kinds = [EventKind.STARTED, EventKind.CHUNK, EventKind.DONE]
    kind, data = entry_fields(kinds, [events.started("w", 1.5), b'"a"', events.done(None)])
    found = unpack(b"3-2", {b"k": kind.encode(), b"d": data})
    assert [(str(e.id), e.kind, e.data) for e in found] == [
        ("3-0", EventKind.STARTED, {"worker": "w", "at": 1.5}),
        ("3-1", EventKind.CHUNK, "a"),
        ("3-2", EventKind.DONE, {"usage": None}),
    ]


def test_an_event_alone_is_called_by_its_kind() -> None:
    assert entry_fields([EventKind.DONE], [b"{}"]) == ("done", b"{}")
    (event,) = unpack(b"1-0", {b"k": b"started", b"d": events.started("w", 1.5)})
    assert (event.kind, event.data) == (EventKind.STARTED, {"worker": "w", "at": 1.5})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"k": b"chunk"},
        {b"k": b"nonsense", b"d": b"{}"},
        {b"k": b"\xff", b"d": b"{}"},
        {b"k": b"chunk", b"d": b"{}"},
        {b"k": b"chunk", b"d": b"[]"},
        {b"k": b"done", b"d": b"{"},
        {b"k": b"done", b"d": b"[]"},
        {b"k": b"events", b"d": b"{}"},
        {b"k": b"events", b"d": b"[]"},
        {b"k": b"events", b"d": b'["done"]'},
        {b"k": b"events", b"d": b'[["done"]]'},
        {b"k": b"events", b"d": b'[["done",[]]]'},
        {b"k": b"events", b"d": b'[["nonsense",{}]]'},
        {b"k": b"events", b"d": b'[[["done"],{}]]'},
        {b"k": b"events", b"d": b'[["events",{}]]'},
        {b"k": b"events", b"d": b'[["segment",{"mime_type":null}]]'},
        {b"k": b"events", b"d": b'[["chunk",1],["chunk",2],["done",{}]]'},
    ],
)
def test_what_is_no_entry_is_a_typed_error(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError, match=r"event 1-[01]"):
        unpack(b"1-1", fields)


def test_payloads_are_json() -> None:
    assert orjson.loads(events.done(None)) == {"usage": None}
    assert (
        orjson.loads(events.failed({"code": "x", "fields": {"a": object}}))["error"]["code"] == "x"
    )
    assert orjson.loads(events.cancelled("caller")) == {"reason": "caller", "usage": None}
