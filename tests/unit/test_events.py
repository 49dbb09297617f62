"""Event ids and the packing of events into entries."""

import orjson
import pytest

from invokeq.protocol import events
from invokeq.protocol.errors import InvalidRequestError, ProtocolError
from invokeq.protocol.events import EventId, EventKind, pack, unpack


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
    found = unpack(b"2-9", {b"k": b"chunk", b"d": pack([b'"a"', b'"b"', b'"c"'])})
    assert [(str(e.id), e.data) for e in found] == [("2-7", "a"), ("2-8", "b"), ("2-9", "c")]


def test_other_kinds_have_an_entry_of_their_own() -> None:
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
    ],
)
def test_what_is_no_entry_is_a_typed_error(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError, match="event 1-1"):
        unpack(b"1-1", fields)


def test_payloads_are_json() -> None:
    assert orjson.loads(events.done(None)) == {"usage": None}
    assert (
        orjson.loads(events.failed({"code": "x", "fields": {"a": object}}))["error"]["code"] == "x"
    )
    assert orjson.loads(events.cancelled("caller")) == {"reason": "caller", "usage": None}
