"""Answers of all other fake models, and the events made of an answer."""

import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from pydantic import BaseModel

from invokeq.protocol import events
from invokeq.protocol.audio import recognise
from invokeq.protocol.entities import (
    EmbeddingUsage,
    LLMUsage,
    ModerationResult,
    MultiModalContent,
    MultiModalContentType,
    MultiModalEmbeddingResult,
    MultiModalRerankResult,
    RerankResult,
    Speech2TextResult,
    SummaryResult,
    TextEmbeddingResult,
)
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.events import EventKind
from invokeq.protocol.requests import (
    ModerationRequest,
    MultiModalEmbeddingRequest,
    MultiModalRerankRequest,
    RerankRequest,
    Speech2TextRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq.testing.script import (
    FakeEvent,
    FakeKind,
    Output,
    UnscriptedCallError,
    is_series,
    model_of,
    pieces_of,
)

EmbeddingRequest: TypeAlias = TextEmbeddingRequest | MultiModalEmbeddingRequest
AnyRerankRequest: TypeAlias = RerankRequest | MultiModalRerankRequest

EmbeddingAnswer: TypeAlias = (
    Iterable[Sequence[float]] | Sequence[float] | TextEmbeddingResult | MultiModalEmbeddingResult
)
"""One vector a text, one vector for all texts, or the whole result."""

RerankAnswer: TypeAlias = Iterable[float] | RerankResult | MultiModalRerankResult
"""One score a document, in the order of the documents, or the whole result.

The texts of a result are ignored: a caller always gets the texts of the request.
"""

TTSAnswer: TypeAlias = bytes | Iterable[bytes | InvokeqError]
"""The audio: one segment, or several."""

_EMBEDDED: Final = (TextEmbeddingResult, MultiModalEmbeddingResult)
_RERANKED: Final = (RerankResult, MultiModalRerankResult)


def _embedding_entries(request: EmbeddingRequest, answer: EmbeddingAnswer) -> Iterator[Output]:
    texts = _texts_of(request)
    if isinstance(answer, TextEmbeddingResult | MultiModalEmbeddingResult):
        rows, model, usage = answer.embeddings, answer.model, answer.usage
    else:
        rows, model, usage = _rows(answer, len(texts)), request.model, _usage(texts)
    _check_count(request, "vectors", len(rows), len(texts))
    width = len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise EMBEDDING.refusal(rows)
    if rows:
        numbers = array("d", [number for row in rows for number in row])
        if sys.byteorder == "big":  # the wire is little-endian
            numbers.byteswap()
        packed = numbers.tobytes()
        yield FakeEvent(EventKind.VECTORS, events.vectors(0, len(rows), width, "<f8"), packed)
    end = {"model": model, "count": len(rows), "usage": usage.model_dump(mode="json")}
    yield FakeEvent(EventKind.RESULT, events.result(end), usage=usage)


def _rerank_entries(request: AnyRerankRequest, answer: RerankAnswer) -> Iterator[Output]:
    model, count = request.model, len(request.docs)
    if isinstance(answer, RerankResult | MultiModalRerankResult):
        model, ranked = answer.model, [(doc.index, doc.score) for doc in answer.docs]
        if any(index not in range(count) for index, _ in ranked):
            raise UnscriptedCallError(
                f"The scripted answer to a call to {model_of(request)} ranks a document that the"
                f" call does not have; it has {count}"
            )
    else:
        scores = [float(score) for score in answer]
        _check_count(request, "scores", len(scores), count)
        least = -math.inf if request.score_threshold is None else request.score_threshold
        ranked = [(index, score) for index, score in enumerate(scores) if score >= least]
        # A stable sort, as with real providers: documents of one score keep their order.
        ranked.sort(key=lambda found: -found[1])
        ranked = ranked[: request.top_n]
    if ranked:
        yield FakeEvent(EventKind.SCORES, events.scores(0, ranked))
    yield FakeEvent(EventKind.RESULT, events.result({"model": model, "ranked": len(ranked)}))


def _tts_entries(request: TTSRequest, answer: TTSAnswer) -> Iterator[Output]:
    del request  # a fake model has one voice
    for piece in [answer] if isinstance(answer, bytes) else pieces_of(answer):
        if isinstance(piece, InvokeqError):
            yield piece
            return
        if not isinstance(piece, bytes):
            raise TTS.refusal(piece)
        known = recognise(piece)
        yield FakeEvent(EventKind.SEGMENT, events.segment(known and known.mime_type), piece)


def _summary_entries(request: SummaryRequest, text: str) -> Iterator[Output]:
    """Count a word as a token, free of charge."""
    read, written = len(request.text.split()), len(text.split())
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    usage = LLMUsage.empty_usage().model_copy(update=counts)
    yield _result(SummaryResult(summary=text))._replace(usage=usage)


EMBEDDING: Final[FakeKind[EmbeddingRequest, EmbeddingAnswer]] = FakeKind(
    "text_embedding",
    "a list of vectors of one length, one vector for all texts, a TextEmbeddingResult",
    lambda value: isinstance(value, _EMBEDDED) or is_series(value),
    _embedding_entries,
    nothing=lambda request: None if _texts_of(request) else [],
)
RERANK: Final[FakeKind[AnyRerankRequest, RerankAnswer]] = FakeKind(
    "rerank",
    "a list of scores, a RerankResult",
    lambda value: isinstance(value, _RERANKED) or is_series(value),
    _rerank_entries,
    nothing=lambda request: None if request.docs else [],
)
TTS: Final[FakeKind[TTSRequest, TTSAnswer]] = FakeKind(
    "tts",
    "the bytes of a segment, a list of these",
    lambda value: isinstance(value, bytes) or is_series(value),
    _tts_entries,
)
SPEECH2TEXT: Final[FakeKind[Speech2TextRequest, str]] = FakeKind(
    "speech2text",
    "a text",
    lambda value: isinstance(value, str),
    lambda _, text: iter([_result(Speech2TextResult(result=text))]),
)
MODERATION: Final[FakeKind[ModerationRequest, bool]] = FakeKind(
    "moderation",
    "a bool",
    lambda value: isinstance(value, bool),
    lambda _, flagged: iter([_result(ModerationResult(result=flagged))]),
)
SUMMARY: Final[FakeKind[SummaryRequest, str]] = FakeKind(
    "summary",
    "a text",
    lambda value: isinstance(value, str),
    _summary_entries,
)


def _result(value: BaseModel) -> FakeEvent:
    return FakeEvent(EventKind.RESULT, value.model_dump_json().encode())


def _rows(answer: Any, count: int) -> list[list[float]]:
    rows: list[Any] = list(answer)
    if rows and isinstance(rows[0], int | float):
        rows = [rows] * count
    if not all(is_series(row) for row in rows):
        raise EMBEDDING.refusal(rows)
    return [list(cast(Iterable[float], row)) for row in rows]


def _texts_of(request: EmbeddingRequest) -> list[str]:
    if isinstance(request, TextEmbeddingRequest):
        return request.texts
    return [_text_of(content) for content in request.documents]


def _text_of(content: MultiModalContent) -> str:
    return content.content if content.content_type is MultiModalContentType.TEXT else ""


def _check_count(request: object, what: str, given: int, wanted: int) -> None:
    if given != wanted:
        raise UnscriptedCallError(
            f"A call to {model_of(request)} needs {wanted} {what}; its scripted answer has {given}"
        )


def _usage(texts: list[str]) -> EmbeddingUsage:
    """Count a word as a token, free of charge."""
    tokens = sum(len(text.split()) for text in texts)
    free = Decimal(0)
    return EmbeddingUsage(
        tokens=tokens,
        total_tokens=tokens,
        unit_price=free,
        price_unit=free,
        total_price=free,
        currency="USD",
        latency=0.0,
    )
