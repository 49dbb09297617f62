"""Decode the scores of a rerank into a ranking with the texts of the caller.

The texts never come back over the wire: an event holds indices and scores alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from invokeq.protocol.entities import (
    MultiModalContentType,
    MultiModalRerankResult,
    RerankDocument,
    RerankResult,
)
from invokeq.protocol.errors import PartialAnswerError, ProtocolError
from invokeq.protocol.events import Event
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest


class RankedBatch(NamedTuple):
    """Consecutive ranks, best first, the first of which is the rank `start`."""

    start: int
    docs: list[RerankDocument]


@dataclass(frozen=True, slots=True)
class RankingEnd:
    """The item after the last rank; `count` is the number of ranks."""

    model: str
    count: int


def texts_in(request: RerankRequest | MultiModalRerankRequest) -> list[str]:
    """Return the text of each document; a picture has an empty text."""
    if isinstance(request, RerankRequest):
        return request.docs
    text = MultiModalContentType.TEXT
    return [doc.content if doc.content_type is text else "" for doc in request.docs]


def unpack_scores(texts: Sequence[str] | None, event: Event) -> RankedBatch:
    """Return the documents of a `scores` event, with texts where known.

    Raises ValueError for an index outside the request.
    """
    docs: list[RerankDocument] = []
    for place, score in event.data["scores"]:
        index = int(place)
        if texts is not None and not 0 <= index < len(texts):
            raise ValueError(f"ranks document {index} of {len(texts)}")
        text = "" if texts is None else texts[index]
        docs.append(RerankDocument(index=index, text=text, score=score))
    return RankedBatch(int(event.data["start"]), docs)


def ranking_end(event: Event) -> RankingEnd:
    """Return the end of a ranking from the `result` event."""
    return RankingEnd(str(event.data["model"]), int(event.data["ranked"]))


def join_ranking(pieces: Iterable[RankedBatch | RankingEnd]) -> RerankResult:
    """Join the batches of a ranking; raises as `join_vectors` does."""
    docs, end = _joined(pieces)
    return RerankResult(model=end.model, docs=docs)


def join_multimodal_ranking(pieces: Iterable[RankedBatch | RankingEnd]) -> MultiModalRerankResult:
    """Join as `join_ranking`, for documents."""
    docs, end = _joined(pieces)
    return MultiModalRerankResult(model=end.model, docs=docs)


def _joined(
    pieces: Iterable[RankedBatch | RankingEnd],
) -> tuple[list[RerankDocument], RankingEnd]:
    docs: list[RerankDocument] = []
    end: RankingEnd | None = None
    for piece in pieces:
        if isinstance(piece, RankingEnd):
            end = piece
        elif piece.start == len(docs):
            docs += piece.docs
        elif not docs:
            raise PartialAnswerError(missing=f"ranks 0 to {piece.start - 1}")
    # Reading began behind the last batch: an answer is there, but not for this reader.
    if end is not None and end.count and not docs:
        raise PartialAnswerError(missing=f"its {end.count} ranks")
    if end is None or end.count != len(docs):
        raise ProtocolError(where="rerank", problem=f"breaks off after {len(docs)} ranks")
    return docs, end
