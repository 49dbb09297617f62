"""What comes out of Redis may be anything: it is read, or refused with an error of ours.

Seen to fail when EventId.parse took numbers of any length, and answers of mixed kinds were joined.
INVOKEQ_FUZZ_CASES says how many cases there are in all; `make fuzz` takes 100,000.
"""

import os
import pickle
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invokeq.errors import InvokeqError
from invokeq.protocol import codec, events
from invokeq.protocol.errors import InvalidRequestError, ProtocolError, error_from_wire
from invokeq.protocol.events import EventId, EventKind
from invokeq.protocol.lease import parse_lease
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.requests import BodyRef, Envelope
from invokeq.results.decode import ANY
from invokeq_worker.attempts.decoding import warm_up

TARGETS = 10
CASES = max(1, int(os.environ.get("INVOKEQ_FUZZ_CASES") or 3000) // TARGETS)
BOUND = 16 * codec.MAX_JOB_BYTES
"""Bytes that decoding one job may take at once."""

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_FORBIDDEN = ("exec", "import", "os.", "subprocess.", "pickle.", "open", "socket.", "ctypes.")
_watched: list[list[str]] = []


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _watched and event.startswith(_FORBIDDEN):
        _watched[-1].append(event)


warm_up()  # as a worker does before its first job: installed packages are read from disk
sys.addaudithook(_audit)


@contextmanager
def no_code() -> Generator[None]:
    """Fail if anything inside imports, runs, opens or unpickles something."""
    seen: list[str] = []
    _watched.append(seen)
    try:
        yield
    finally:
        _watched.pop()
    assert seen == []


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: cast(
        st.SearchStrategy[Any],
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    ),
    max_leaves=12,
)
wire_names = st.sampled_from([*Envelope.model_fields, "kind", "provider", "model", "credentials"])
VALID: dict[str, Any] = {
    "v": 1,
    "request_id": "a" * 32,
    "plugin_id": "acme",
    "request": {
        "kind": "llm",
        "provider": "scripted",
        "model": "echo",
        "prompt_messages": [{"role": "user", "content": "x"}],
    },
}
envelopes = st.dictionaries(wire_names, json_values, max_size=3).map(lambda odd: {**VALID, **odd})
empty: st.SearchStrategy[Any] = st.builds(dict[str, Any])
calls: st.SearchStrategy[Any] = st.tuples(
    st.just(codec.ENTRY_POINT) | st.text(max_size=20),
    st.none() | json_values,
    st.lists(envelopes | json_values, max_size=2),
    empty | json_values,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good message with some bytes changed, cut off or added."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=4))


GOOD_JSON = orjson.dumps([codec.ENTRY_POINT, None, [VALID], {}])
json_bytes = (calls | json_values).map(orjson.dumps) | damaged(GOOD_JSON)
job_data = (
    st.binary(max_size=200)
    | json_bytes
    | json_bytes.map(zlib.compress)
    | damaged(zlib.compress(GOOD_JSON))
    | json_values.map(pickle.dumps)
    | json_values.map(pickle.dumps).map(zlib.compress)
)


@fuzz
@given(job_data)
def test_the_data_of_a_job(data: bytes) -> None:
    with no_code(), suppress(ProtocolError):
        assert isinstance(codec.decode_job(data), Envelope)


@fuzz
@given(envelopes | st.dictionaries(st.text(max_size=12), json_values))
def test_an_envelope(fields: dict[str, Any]) -> None:
    with no_code(), suppress(ProtocolError):
        assert codec.decode_envelope(fields).v == 1


KINDS = ["llm", "llm_structured_output", "summary", "text_embedding", "rerank", "tts", "moderation"]
requests = st.dictionaries(
    st.sampled_from(["provider", "model", "prompt_messages", "texts", "docs", "text", "voice"]),
    json_values,
).flatmap(lambda odd: st.sampled_from(KINDS).map(lambda kind: {**odd, "kind": kind}))


@fuzz
@given(requests | requests.map(orjson.dumps) | st.binary(max_size=100) | damaged(GOOD_JSON))
def test_a_request(payload: bytes | dict[str, Any]) -> None:
    with no_code(), suppress(InvalidRequestError):
        codec.decode_request(payload)


@pytest.mark.parametrize("size", [2 * codec.MAX_JOB_BYTES, 50_000_000])
@pytest.mark.parametrize("text", [b"[", b'{"a":', b"0", b'"', b" "])
def test_a_small_job_takes_bounded_memory(size: int, text: bytes) -> None:
    bomb = zlib.compress(text * (size // len(text)))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            codec.decode_job(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BOUND


number = st.integers(0, 2**64).map(str) | st.text(max_size=5) | st.just("9" * 5000)
ids = st.tuples(number, st.sampled_from(["-", "--", "", " "]), number).map("".join)


@fuzz
@given(ids | ids.map(lambda text: text.encode(errors="replace")) | st.text() | st.binary())
def test_an_event_id(text: str | bytes) -> None:
    with suppress(InvalidRequestError):
        parsed = EventId.parse(text)
        assert EventId.parse(str(parsed)) == parsed
        assert min(parsed) >= 0


good_ids = st.tuples(st.integers(0, 5), st.integers(0, 5) | st.just(2**64 - 1)).map(
    lambda pair: f"{pair[0]}-{pair[1]}".encode()
)
names_of_kinds = st.sampled_from([*(kind.value for kind in EventKind), events.SEVERAL])
kinds = names_of_kinds.map(str.encode) | st.binary(max_size=8)
CHUNK: dict[str, Any] = {
    "model": "m",
    "delta": {"index": 0, "message": {"role": "assistant", "content": "x", "tool_calls": []}},
}
EVENT_DATA: list[Any] = [
    [CHUNK],
    {"start": 0, "count": 2, "dimensions": 2, "dtype": "<f4"},
    {"start": 0, "scores": [[0, 0.5]]},
    {"error": {"code": "rejected_by_provider", "message": "x", "fields": {}}},
    {"reason": "caller", "usage": None},
    {"mime_type": "audio/mpeg"},
    {"result": "x"},
    {"count": 1, "model": "m", "usage": {}},
    {"ranked": 1, "model": "m"},
]


def _odd(good: Any) -> st.SearchStrategy[Any]:
    if isinstance(good, list):
        return st.just(cast(Any, good))
    names: st.SearchStrategy[str] = st.sampled_from(list(good))
    return st.dictionaries(names, json_values, max_size=2).map(lambda odd: {**good, **odd})


odd_data = st.sampled_from(EVENT_DATA).flatmap(_odd)
several = st.lists(st.tuples(names_of_kinds, odd_data) | json_values, max_size=3)
payloads = st.binary(max_size=60) | (json_values | odd_data | several).map(orjson.dumps)
entries = st.fixed_dictionaries(
    {}, optional={b"k": kinds, b"d": payloads, b"b": st.binary(max_size=40)}
) | st.dictionaries(st.binary(max_size=3), st.binary(max_size=20), max_size=3)


@fuzz
@given(good_ids | st.binary(max_size=12), entries)
def test_an_event_and_what_is_made_of_it(entry_id: bytes, fields: dict[bytes, bytes]) -> None:
    with no_code(), suppress(InvokeqError):
        for event in events.unpack(entry_id, fields):
            assert min(event.id) >= 0
            ANY.item_of(event)


@fuzz
@given(
    st.lists(st.sampled_from(list(EventKind)).flatmap(lambda k: st.tuples(st.just(k), odd_data)))
)
def test_an_answer_as_a_whole(said: list[tuple[EventKind, Any]]) -> None:
    with no_code(), suppress(InvokeqError):
        found: list[Any] = []
        for at, (kind, data) in enumerate(said):
            fields = {b"k": kind.value.encode(), b"d": orjson.dumps(data), b"b": b"\0" * 16}
            for event in events.unpack(b"1-%d" % at, fields):
                item = ANY.item_of(event)
                if item is not None:
                    found.append(item)
        ANY.result_of(iter(found))


@fuzz
@given(json_values | st.dictionaries(st.sampled_from(["code", "message", "fields"]), json_values))
def test_an_error_from_the_wire(fields: Any) -> None:
    assert isinstance(error_from_wire(fields), InvokeqError)


@fuzz
@given(st.text(max_size=300))
def test_the_name_of_a_lane(name: str) -> None:
    lane = Lane.parse(name)
    assert lane.name == name or (not lane.plugin and lane.name == f"{name}:") or name == lane.queue


parts = st.lists(st.none() | st.binary(max_size=30), max_size=6)


@fuzz
@given(st.integers(1, 256), st.integers(1, 200), parts)
def test_the_parts_of_a_body(count: int, size: int, found: list[bytes | None]) -> None:
    ref = BodyRef(parts=count, size=size)
    with suppress(ProtocolError):
        assert len(codec.join_body(ref, found)) == size


@fuzz
@given(st.binary(max_size=60) | ids.map(lambda text: text.encode(errors="replace")))
def test_the_lease_of_a_reader(value: bytes) -> None:
    lease = parse_lease(value)
    assert min(lease.position) >= 0


def test_code_would_be_noticed() -> None:
    watcher: Callable[[], Any] = lambda: pickle.loads(b"cos\nsystem\n.")  # noqa: E731
    with pytest.raises(AssertionError), no_code():
        watcher()
