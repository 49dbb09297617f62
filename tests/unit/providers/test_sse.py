"""Server-sent events, for every cut by the network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeq_providers.http import sse
from invokeq_providers.http.sse import EventDecoder, EventTooLargeError

BODY = (
    b": comment\n\n"
    b'data: {"a": 1}\n\n'
    b"event: x\r\ndata: two\r\ndata:lines\r\n\r\n"
    b"id: 7\nretry: 3\n\n"
    b"data: gr\xc3\xbc\xc3\x9fe\n\n"
    b"data: [DONE]"
)
EVENTS = [b'{"a": 1}', b"two\nlines", "grüße".encode(), b"[DONE]"]


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_events_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    decoder = EventDecoder()
    ends = [*sorted(cuts), len(BODY)]
    events: list[bytes] = []
    for start, end in zip([0, *ends], ends, strict=False):
        events += decoder.feed(BODY[start:end])
    assert [*events, *decoder.finish()] == EVENTS


def test_an_event_comes_as_soon_as_it_is_complete() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\ndata: b") == [b"a"]
    assert decoder.feed(b"\n\n") == [b"b"]


def test_only_one_space_belongs_to_the_field() -> None:
    assert EventDecoder().feed(b"data:  a\n\n") == [b" a"]


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    decoder = EventDecoder()
    for _ in range(9):
        decoder.feed(b"data: 1\n\n" * 10)
    decoder.feed(b"0123456789" * 10)
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"0")
