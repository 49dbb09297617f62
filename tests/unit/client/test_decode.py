"""What events become: one shape for each kind of call."""

from array import array
from decimal import Decimal
from typing import Any

import orjson
import pytest

from invokeq.protocol import events
from invokeq.protocol.entities import (
    EmbeddingUsage,
    LLMUsage,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.errors import (
    InvocationCancelledError,
    PartialAnswerError,
    ProtocolError,
    RateLimitedError,
)
from invokeq.protocol.events import Event, EventId, EventKind
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest
from invokeq.protocol.usage import BillingUnit, UnitUsage, Usage
from invokeq.results import decode
from invokeq.results.speech import AudioSegment
from invokeq.results.vectors import VectorBatch

USAGE = EmbeddingUsage.model_validate(
    {
        "tokens": 1,
        "total_tokens": 1,
        "unit_price": "0",
        "price_unit": "0",
        "total_price": "0",
        "currency": "USD",
        "latency": 0.0,
    }
)


def event(kind: EventKind, payload: bytes, blob: bytes = b"") -> Event:
    return Event(EventId(1, 1), kind, orjson.loads(payload), blob)


def vectors(start: int, rows: list[list[float]], typecode: str = "f") -> Event:
    flat = array(typecode, [number for row in rows for number in row])
    meta = events.vectors(start, len(rows), len(rows[0]), f"<f{flat.itemsize}")
    return event(EventKind.VECTORS, meta, flat.tobytes())


def end(count: int) -> Event:
    value = {"model": "m", "count": count, "usage": USAGE.model_dump(mode="json")}
    return event(EventKind.RESULT, events.result(value))


def result(decoder: decode.ResultDecoder[Any, Any], *said: Event) -> Any:
    items = (decoder.item_of(e) for e in said)
    return decoder.result_of(iter([item for item in items if item is not None]))


@pytest.mark.parametrize("typecode", ["f", "d"])
def test_vectors_come_back_bit_by_bit(typecode: str) -> None:
    rows = [list(array(typecode, [0.1, -1e-30])), list(array(typecode, [3.0, 1e30]))]
    whole = result(
        decode.EMBEDDING, vectors(0, rows[:1], typecode), vectors(1, rows[1:], typecode), end(2)
    )
    assert whole.embeddings == rows
    assert (whole.model, whole.usage) == ("m", USAGE)


def test_no_texts_give_no_vectors() -> None:
    assert result(decode.EMBEDDING, end(0)).embeddings == []


@pytest.mark.parametrize(
    "said",
    [
        [vectors(0, [[1.0]])],
        [vectors(0, [[1.0]]), end(2)],
        [vectors(0, [[1.0]]), vectors(2, [[1.0]]), end(3)],
    ],
)
def test_vectors_that_are_missing_are_an_error(said: list[Event]) -> None:
    with pytest.raises(ProtocolError, match="breaks off after"):
        result(decode.EMBEDDING, *said)


@pytest.mark.parametrize("decoder", [decode.EMBEDDING, decode.ANY])
@pytest.mark.parametrize("said", [[vectors(1, [[1.0]]), end(2)], [end(2)]])
def test_vectors_without_the_first_are_no_whole(
    decoder: decode.ResultDecoder[Any, Any], said: list[Event]
) -> None:
    with pytest.raises(PartialAnswerError, match=r"vectors.*without `after`"):
        result(decoder, *said)


def scores(start: int, *ranked: tuple[int, float]) -> Event:
    return event(EventKind.SCORES, events.scores(start, ranked))


def ranking_end(count: int) -> Event:
    return event(EventKind.RESULT, events.result({"model": "m", "ranked": count}))


def rerank(*docs: str) -> RerankRequest:
    return RerankRequest(provider="p", model="m", docs=list(docs), query="q")


def sighted_rerank(*docs: str) -> MultiModalRerankRequest:
    text = MultiModalContentType.TEXT
    contents = [MultiModalContent(content=doc, content_type=text) for doc in docs]
    return MultiModalRerankRequest(provider="p", model="m", docs=contents, query=contents[0])


RANKED = [scores(0, (2, 0.1 + 0.2)), scores(1, (0, -7.0)), ranking_end(2)]


def test_a_ranking_gets_its_texts_where_they_are() -> None:
    whole = result(decode.rerank_decoder(rerank("a", "b", "c")), *RANKED)
    assert [(d.index, d.text, d.score) for d in whole.docs] == [(2, "c", 0.1 + 0.2), (0, "a", -7.0)]
    sighted = result(decode.multimodal_rerank_decoder(sighted_rerank("", "b", "c")), *RANKED)
    assert [d.text for d in sighted.docs] == ["c", ""]
    for decoder in (decode.RANKING, decode.ANY):
        assert [(d.index, d.text) for d in result(decoder, *RANKED).docs] == [(2, ""), (0, "")]
    assert result(decode.ANY, ranking_end(0)).docs == []


def test_a_ranking_that_is_none_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="ranks document 2 of 2"):
        result(decode.rerank_decoder(rerank("a", "b")), *RANKED)
    for said in (RANKED[:2], [RANKED[0], ranking_end(2)], [RANKED[0], scores(5, (1, 1.0))]):
        with pytest.raises(ProtocolError, match="breaks off after"):
            result(decode.RANKING, *said)
    for said in (RANKED[1:], RANKED[2:]):
        with pytest.raises(PartialAnswerError, match="ranks"):
            result(decode.ANY, *said)


def test_structured_output_is_there_though_only_the_last_chunk_has_it() -> None:
    delta = {"index": 0, "message": {"role": "assistant", "content": "x"}}
    plain = event(EventKind.CHUNK, orjson.dumps({"model": "m", "delta": delta}))
    last = {"model": "m", "delta": delta, "structured_output": {"a": True}}
    final = event(EventKind.CHUNK, orjson.dumps(last))
    whole = result(decode.ANY, plain, final)
    assert (whole.structured_output, whole.message.content) == ({"a": True}, "xx")


def test_nothing_left_of_an_answer_is_no_answer() -> None:
    with pytest.raises(PartialAnswerError):
        result(decode.ANY, event(EventKind.DONE, events.done(None)))


SEARCHES = UnitUsage(
    unit=BillingUnit.SEARCH,
    amount=Decimal(3),
    unit_price=Decimal("2.00"),
    price_unit=Decimal("0.001"),
    total_price=Decimal("0.006"),
    currency="USD",
    latency=0.5,
)


@pytest.mark.parametrize("usage", [USAGE, SEARCHES, LLMUsage.empty_usage(), None])
def test_the_end_tells_what_was_used(usage: Usage | None) -> None:
    told = None if usage is None else usage.model_dump(mode="json")
    for payload in (events.done(told), events.cancelled("caller", told)):
        assert decode.usage_of(event(EventKind.DONE, payload)) == usage
    assert decode.usage_of(event(EventKind.FAILED, events.failed({}))) is None
    with pytest.raises(ProtocolError):
        decode.usage_of(event(EventKind.DONE, events.done({"unit": "yard"})))


@pytest.mark.parametrize("change", [{"dtype": "<f2"}, {"count": 5}, {"dimensions": "x"}])
def test_vectors_that_are_none_are_an_error(change: dict[str, Any]) -> None:
    broken = vectors(0, [[1.0]])
    broken.data.update(change)
    with pytest.raises(ProtocolError):
        decode.EMBEDDING.item_of(broken)


def test_segments_know_what_they_are_and_join() -> None:
    said = [event(EventKind.SEGMENT, events.segment("audio/mpeg"), part) for part in (b"a", b"b")]
    segment = decode.TTS.item_of(said[0])
    assert isinstance(segment, AudioSegment)
    assert (segment, segment.mime_type) == (b"a", "audio/mpeg")
    assert result(decode.TTS, *said) == b"ab"


@pytest.mark.parametrize(
    ("decoder", "value", "expected"),
    [
        (decode.MODERATION, {"result": False}, False),
        (decode.SPEECH2TEXT, {"result": ""}, ""),
        (decode.SUMMARY, {"summary": "short"}, "short"),
    ],
)
def test_single_results(
    decoder: decode.ResultDecoder[Any, Any], value: Any, expected: object
) -> None:
    done = event(EventKind.DONE, events.done(None))
    assert result(decoder, event(EventKind.RESULT, events.result(value)), done) == expected
    assert result(decode.ANY, event(EventKind.RESULT, events.result(value)), done) == expected
    with pytest.raises(ProtocolError, match="without a result"):
        result(decoder, done)
    with pytest.raises(ProtocolError):
        decoder.item_of(event(EventKind.RESULT, b'{"result": {}, "summary": 5}'))


def test_a_reader_that_attaches_reads_every_kind() -> None:
    assert isinstance(decode.ANY.item_of(vectors(0, [[1.0]])), VectorBatch)
    assert result(decode.ANY, vectors(0, [[1.0]]), end(1)).embeddings == [[1.0]]
    segment = event(EventKind.SEGMENT, events.segment(None), b"a")
    assert result(decode.ANY, segment) == b"a"


def test_bad_ends_are_raised() -> None:
    limited = RateLimitedError(provider="p", model="m", detail="slow", retry_after=1.0)
    with pytest.raises(RateLimitedError) as caught:
        decode.SUMMARY.item_of(event(EventKind.FAILED, events.failed(limited.to_wire())))
    assert caught.value.retry_after == 1.0
    with pytest.raises(InvocationCancelledError, match="operator"):
        decode.SUMMARY.item_of(event(EventKind.CANCELLED, events.cancelled("operator")))
