"""Turns events into what callers get: one shape for each kind of call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from invokeq.protocol.entities import (
    LLMResult,
    LLMResultChunk,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
    ModerationResult,
    MultiModalEmbeddingResult,
    MultiModalRerankResult,
    RerankResult,
    Speech2TextResult,
    SummaryResult,
    TextEmbeddingResult,
)
from invokeq.protocol.errors import (
    DeadlineExceededError,
    InvocationCancelledError,
    InvokeqError,
    PartialAnswerError,
    ProtocolError,
    error_from_wire,
)
from invokeq.protocol.events import DEADLINE, Event, EventKind
from invokeq.protocol.usage import Usage, read_usage
from invokeq.results.accumulate import accumulate
from invokeq.results.ranking import (
    RankedBatch,
    RankingEnd,
    join_multimodal_ranking,
    join_ranking,
    ranking_end,
    unpack_scores,
)
from invokeq.results.speech import AudioSegment, segment_of
from invokeq.results.structured import accumulate_structured
from invokeq.results.vectors import (
    EmbeddingEnd,
    VectorBatch,
    embedding_end,
    join_multimodal_vectors,
    join_vectors,
    unpack_vectors,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

EventReader = Callable[[Event], Any]


class ResultDecoder(NamedTuple, Generic[Item, Result]):
    """What a call gives: an item for each event that carries one, and the whole made of them."""

    item_of: Callable[[Event], Item | None]
    result_of: Callable[[Iterator[Item]], Result]


def error_of(event: Event) -> InvokeqError:
    """Give the error that a `failed` or `cancelled` event stands for."""
    if event.kind is EventKind.CANCELLED:
        reason, usage = event.data.get("reason"), event.data.get("usage")
        attempt = event.id.attempt
        if reason == DEADLINE:
            stage = event.data.get("stage")
            return DeadlineExceededError(attempt=attempt, stage=stage, usage=usage)
        return InvocationCancelledError(attempt=attempt, reason=reason, usage=usage)
    return error_from_wire(event.data.get("error") or {})


def usage_of(event: Event) -> Usage | None:
    """Give the usage that a terminal event tells, if it does."""
    told = event.data.get("usage")
    if told is None:
        return None
    try:
        return read_usage(told)
    except ValidationError as error:
        raise ProtocolError(where=f"event {event.id}", problem=str(error)) from None


def _reading(**readers: EventReader) -> Callable[[Event], Any]:
    """Read the kinds that are named; raise what ends a stream badly; pass over the rest."""

    def item_of(event: Event) -> Any:
        reader = readers.get(event.kind)
        if reader is None:
            if event.kind in (EventKind.FAILED, EventKind.CANCELLED):
                raise error_of(event)
            return None
        try:
            return reader(event)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(where=f"event {event.id}", problem=str(error)) from None

    return item_of


def _only(items: Iterable[Item]) -> Item:
    """Give the one item of a call that gives one, once the stream has ended."""
    taken = list(items)
    if not taken:
        raise ProtocolError(where="answer", problem="ended without a result")
    return taken[0]


def _chunk(event: Event) -> LLMResultChunk:
    if "structured_output" in event.data:
        return LLMResultChunkWithStructuredOutput.model_validate(event.data)
    return LLMResultChunk.model_validate(event.data)


def _structured_chunk(event: Event) -> LLMResultChunkWithStructuredOutput:
    return LLMResultChunkWithStructuredOutput.model_validate(event.data)


def _joined(segments: Iterable[bytes]) -> bytes:
    return b"".join(segments)


def _validated(entity: Any, field: str | None = None) -> EventReader:
    def read(event: Event) -> Any:
        value = entity.model_validate(event.data)
        return value if field is None else getattr(value, field)

    return read


def llm_decoder(model: str) -> ResultDecoder[LLMResultChunk, LLMResult]:
    """Chunks, and a result by Dify's rules under the caller's name of the model."""
    return ResultDecoder(_reading(chunk=_chunk), partial(accumulate, model))


def structured_decoder(
    model: str,
) -> ResultDecoder[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
    """As `llm_decoder`, with the structured output in the last chunk."""
    return ResultDecoder(_reading(chunk=_structured_chunk), partial(accumulate_structured, model))


_VECTORS: Final = _reading(vectors=unpack_vectors, result=embedding_end)

EMBEDDING: Final[ResultDecoder[VectorBatch | EmbeddingEnd, TextEmbeddingResult]] = ResultDecoder(
    _VECTORS, join_vectors
)
MULTIMODAL_EMBEDDING: Final[
    ResultDecoder[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]
] = ResultDecoder(_VECTORS, join_multimodal_vectors)
TTS: Final[ResultDecoder[AudioSegment, bytes]] = ResultDecoder(
    _reading(segment=segment_of), _joined
)
SPEECH2TEXT: Final[ResultDecoder[str, str]] = ResultDecoder(
    _reading(result=_validated(Speech2TextResult, "result")), _only
)
MODERATION: Final[ResultDecoder[bool, bool]] = ResultDecoder(
    _reading(result=_validated(ModerationResult, "result")), _only
)
SUMMARY: Final[ResultDecoder[str, str]] = ResultDecoder(
    _reading(result=_validated(SummaryResult, "summary")), _only
)


def _ranked(texts: Sequence[str] | None) -> Callable[[Event], Any]:
    return _reading(scores=partial(unpack_scores, texts), result=ranking_end)


def rerank_decoder(texts: Sequence[str]) -> ResultDecoder[RankedBatch | RankingEnd, RerankResult]:
    """Ranks with the caller's own texts, and a result made of them."""
    return ResultDecoder(_ranked(texts), join_ranking)


def multimodal_rerank_decoder(
    texts: Sequence[str],
) -> ResultDecoder[RankedBatch | RankingEnd, MultiModalRerankResult]:
    """As `rerank_decoder`, for documents."""
    return ResultDecoder(_ranked(texts), join_multimodal_ranking)


RANKING: Final[ResultDecoder[RankedBatch | RankingEnd, RerankResult]] = ResultDecoder(
    _ranked(None), join_ranking
)
"""Ranks without texts."""


def _any_result(items: Iterator[Any]) -> Any:
    """Make of the items what their kind makes of them, without knowing what was asked for."""
    taken = list(items)
    try:
        return _whole(taken)
    except (AttributeError, TypeError) as error:
        raise ProtocolError(where="answer", problem=f"is of several kinds ({error})") from None


def _whole(taken: list[Any]) -> Any:
    match taken:
        case []:
            raise PartialAnswerError(missing="any of it")
        case [LLMResultChunk(), *_]:
            structured = isinstance(taken[-1], LLMResultChunkWithStructuredOutput)
            return (accumulate_structured if structured else accumulate)(taken[0].model, taken)
        case [VectorBatch() | EmbeddingEnd(), *_]:
            return join_vectors(taken)
        case [RankedBatch() | RankingEnd(), *_]:
            return join_ranking(taken)
        case [AudioSegment(), *_]:
            return _joined(taken)
        case _:
            return _only(taken)


def _any_value(event: Event) -> Any:
    """Read a `result` event by the fields it has."""
    data = event.data
    if "count" in data:
        return embedding_end(event)
    if "ranked" in data:
        return ranking_end(event)
    return data["summary"] if "summary" in data else data["result"]


ANY: Final[ResultDecoder[Any, Any]] = ResultDecoder(
    _reading(
        chunk=_chunk,
        vectors=unpack_vectors,
        scores=partial(unpack_scores, None),
        segment=segment_of,
        result=_any_value,
    ),
    _any_result,
)
"""For readers that attach to an invocation whose kind they do not know."""
