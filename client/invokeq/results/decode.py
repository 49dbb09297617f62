"""Decode events into items and results: one ResultDecoder for each kind of call.

`CallKind.decoder_ref` refers to `<name>_decoder(request)`. `ANY` is for readers attached to an
invocation of an unknown kind.
"""

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
from invokeq.protocol.requests import (
    LLMRequest,
    LLMStructuredOutputRequest,
    ModerationRequest,
    MultiModalEmbeddingRequest,
    MultiModalRerankRequest,
    RerankRequest,
    Speech2TextRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq.protocol.usage import Usage, read_usage
from invokeq.results.accumulate import accumulate
from invokeq.results.ranking import (
    RankedBatch,
    RankingEnd,
    join_multimodal_ranking,
    join_ranking,
    ranking_end,
    texts_in,
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
    """How one kind of call decodes: an event into an item or None, the items into a result.

    `item_of` raises the error of a `failed` or `cancelled` event, and ProtocolError for a malformed
    event. `result_of` raises PartialAnswerError when the first items are missing.
    """

    item_of: Callable[[Event], Item | None]
    result_of: Callable[[Iterator[Item]], Result]


def error_of(event: Event) -> InvokeqError:
    """Return the error of a `failed` or `cancelled` event."""
    if event.kind is EventKind.CANCELLED:
        reason, usage = event.data.get("reason"), event.data.get("usage")
        attempt = event.id.attempt
        if reason == DEADLINE:
            stage = event.data.get("stage")
            return DeadlineExceededError(attempt=attempt, stage=stage, usage=usage)
        return InvocationCancelledError(attempt=attempt, reason=reason, usage=usage)
    return error_from_wire(event.data.get("error") or {})


def usage_of(event: Event) -> Usage | None:
    """Return the usage of a terminal event, or None where the event has none."""
    told = event.data.get("usage")
    if told is None:
        return None
    try:
        return read_usage(told)
    except ValidationError as error:
        raise ProtocolError(where=f"event {event.id}", problem=str(error)) from None


def event_reader(**readers: EventReader) -> Callable[[Event], Any]:
    """Return an `item_of`: decode the named event kinds, raise bad ends, skip all other kinds."""

    def item_of(event: Event) -> Any:
        reader = readers.get(event.kind)
        if reader is None:
            # Events such as `started` and `retry` have no item.
            if event.kind in (EventKind.FAILED, EventKind.CANCELLED):
                raise error_of(event)
            return None
        try:
            return reader(event)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(where=f"event {event.id}", problem=str(error)) from None

    return item_of


def only_item(items: Iterable[Item]) -> Item:
    """Return the item of a single-item call; ProtocolError if the stream had none."""
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


def _validated(entity: Any, field: str) -> EventReader:
    def read(event: Event) -> Any:
        return getattr(entity.model_validate(event.data), field)

    return read


_CHUNKS: Final = event_reader(chunk=_chunk)
_STRUCTURED_CHUNKS: Final = event_reader(chunk=_structured_chunk)
_VECTORS: Final = event_reader(vectors=unpack_vectors, result=embedding_end)

EMBEDDING: Final[ResultDecoder[VectorBatch | EmbeddingEnd, TextEmbeddingResult]] = ResultDecoder(
    _VECTORS, join_vectors
)
MULTIMODAL_EMBEDDING: Final[
    ResultDecoder[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]
] = ResultDecoder(_VECTORS, join_multimodal_vectors)
TTS: Final[ResultDecoder[AudioSegment, bytes]] = ResultDecoder(
    event_reader(segment=segment_of), _joined
)
SPEECH2TEXT: Final[ResultDecoder[str, str]] = ResultDecoder(
    event_reader(result=_validated(Speech2TextResult, "result")), only_item
)
MODERATION: Final[ResultDecoder[bool, bool]] = ResultDecoder(
    event_reader(result=_validated(ModerationResult, "result")), only_item
)
SUMMARY: Final[ResultDecoder[str, str]] = ResultDecoder(
    event_reader(result=_validated(SummaryResult, "summary")), only_item
)


def llm_decoder(request: LLMRequest) -> ResultDecoder[LLMResultChunk, LLMResult]:
    """Decode chunks, and a result by Dify's rules under the caller's name of the model."""
    return ResultDecoder(_CHUNKS, partial(accumulate, request.model))


def llm_structured_output_decoder(
    request: LLMStructuredOutputRequest,
) -> ResultDecoder[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
    """Decode as `llm_decoder`, with the structured output in the last chunk."""
    return ResultDecoder(_STRUCTURED_CHUNKS, partial(accumulate_structured, request.model))


def system_summary_decoder(request: SummaryRequest) -> ResultDecoder[str, str]:
    """Decode the summary."""
    del request  # the request changes nothing; the parameter is the contract of `decoder_ref`
    return SUMMARY


def text_embedding_decoder(
    request: TextEmbeddingRequest,
) -> ResultDecoder[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
    """Decode batches of vectors."""
    del request
    return EMBEDDING


def multimodal_embedding_decoder(
    request: MultiModalEmbeddingRequest,
) -> ResultDecoder[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
    """Decode batches of vectors, one vector a document."""
    del request
    return MULTIMODAL_EMBEDDING


def rerank_decoder(
    request: RerankRequest,
) -> ResultDecoder[RankedBatch | RankingEnd, RerankResult]:
    """Decode ranks, and add the texts of the request."""
    return ResultDecoder(_ranked(texts_in(request)), join_ranking)


def multimodal_rerank_decoder(
    request: MultiModalRerankRequest,
) -> ResultDecoder[RankedBatch | RankingEnd, MultiModalRerankResult]:
    """Decode as `rerank_decoder`, for documents."""
    return ResultDecoder(_ranked(texts_in(request)), join_multimodal_ranking)


def tts_decoder(request: TTSRequest) -> ResultDecoder[AudioSegment, bytes]:
    """Decode audio segments."""
    del request
    return TTS


def speech2text_decoder(request: Speech2TextRequest) -> ResultDecoder[str, str]:
    """Decode the transcription."""
    del request
    return SPEECH2TEXT


def moderation_decoder(request: ModerationRequest) -> ResultDecoder[bool, bool]:
    """Decode the judgement."""
    del request
    return MODERATION


def _ranked(texts: Sequence[str] | None) -> Callable[[Event], Any]:
    return event_reader(scores=partial(unpack_scores, texts), result=ranking_end)


RANKING: Final[ResultDecoder[RankedBatch | RankingEnd, RerankResult]] = ResultDecoder(
    _ranked(None), join_ranking
)
"""Ranks without texts."""


def _any_result(items: Iterator[Any]) -> Any:
    """Return the result of items of an unknown kind of call, by the types of the items."""
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
            # The last chunk decides: the chunks before it may lack the structured output.
            structured = isinstance(taken[-1], LLMResultChunkWithStructuredOutput)
            return (accumulate_structured if structured else accumulate)(taken[0].model, taken)
        case [VectorBatch() | EmbeddingEnd(), *_]:
            return join_vectors(taken)
        case [RankedBatch() | RankingEnd(), *_]:
            return join_ranking(taken)
        case [AudioSegment(), *_]:
            return _joined(taken)
        case _:
            return only_item(taken)


def _any_value(event: Event) -> Any:
    """Return the value of a `result` event by the fields of the event.

    A result of another package's kind comes as a JSON object.
    """
    data = event.data
    if "count" in data:
        return embedding_end(event)
    if "ranked" in data:
        return ranking_end(event)
    return data["summary"] if "summary" in data else data.get("result", data)


ANY: Final[ResultDecoder[Any, Any]] = ResultDecoder(
    event_reader(
        chunk=_chunk,
        vectors=unpack_vectors,
        scores=partial(unpack_scores, None),
        segment=segment_of,
        result=_any_value,
    ),
    _any_result,
)
"""The decoder of an invocation of a kind unknown to the reader."""
