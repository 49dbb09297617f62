"""What rides in a job and what travels beside it; everything else is a typed error."""

import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invokeq.protocol import codec
from invokeq.protocol.entities import UserPromptMessage
from invokeq.protocol.errors import InvokeqError, ProtocolError
from invokeq.protocol.requests import BodyRef, Envelope, LLMRequest, new_request_id


def request(text: str) -> LLMRequest:
    return LLMRequest(
        provider="p", model="m", prompt_messages=[UserPromptMessage(content=text)], stop=["x"]
    )


def envelope() -> Envelope:
    return Envelope(request_id=new_request_id(), plugin_id="acme", deadline=1.5, priority="high")


def test_a_small_request_rides_in_the_job() -> None:
    sent = envelope()
    encoded = codec.encode(sent, codec.encode_request(request("hi")))
    got = codec.decode_job(encoded.job_data)
    assert encoded.body_parts == ()
    assert got.request is not None
    assert codec.decode_request(got.request) == request("hi")
    assert got.model_copy(update={"request": None}) == sent


def test_a_large_request_travels_in_bounded_parts() -> None:
    large = request("ü" * 1_000_000)
    encoded = codec.encode(envelope(), codec.encode_request(large))
    got = codec.decode_job(encoded.job_data)
    assert got.request is None
    assert got.body is not None
    assert got.body == BodyRef(
        parts=len(encoded.body_parts), size=sum(map(len, encoded.body_parts))
    )
    assert max(map(len, encoded.body_parts)) <= codec.PART_SIZE
    assert codec.decode_request(codec.join_body(got.body, list(encoded.body_parts))) == large


@pytest.mark.parametrize("parts", [[None, b"ab"], [b"ab"], [b"ab", b"abc"], []])
def test_a_body_with_something_missing_is_an_error(parts: list[bytes | None]) -> None:
    with pytest.raises(ProtocolError, match="request body"):
        codec.join_body(BodyRef(parts=2, size=4), parts)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_typed_error(data: bytes) -> None:
    for candidate in (data, zlib.compress(data)):
        with pytest.raises(InvokeqError):
            codec.decode_job(candidate)


@settings(max_examples=300, deadline=None)
@given(json)
def test_any_json_is_a_typed_error_or_an_envelope(value: object) -> None:
    calls: list[Any] = [
        value,
        [codec.ENTRY_POINT, None, [value], {}],
        [codec.ENTRY_POINT, value, [{}], {}],
    ]
    fields = orjson.loads(envelope().model_dump_json())
    calls += [[codec.ENTRY_POINT, None, [{**fields, key: value}], {}] for key in fields]
    for call in calls:
        try:
            got = codec.decode_job(orjson.dumps(call))
            codec.decode_request(got.request or {})
        except InvokeqError:
            continue
        raise AssertionError("an envelope without a request cannot be decoded")


def test_a_job_may_not_unpack_into_more_than_a_megabyte() -> None:
    bomb = zlib.compress(b"[" + b" " * 100_000_000 + b"]")
    with pytest.raises(ProtocolError, match="over 1048576 bytes"):
        codec.decode_job(bomb)
