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
    """The ranks `start` and on, best first."""

    start: int
    docs: list[RerankDocument]


@dataclass(frozen=True, slots=True)
class RankingEnd:
    """What comes after the last rank; `count` is how many there were."""

    model: str
    count: int


def texts_in(request: RerankRequest | MultiModalRerankRequest) -> list[str]:
    """Give the text of each document; that of a picture is empty."""
    if isinstance(request, RerankRequest):
        return request.docs
    text = MultiModalContentType.TEXT
    return [doc.content if doc.content_type is text else "" for doc in request.docs]


def unpack_scores(texts: Sequence[str] | None, event: Event) -> RankedBatch:
    """Give the documents of a `scores` event, with their texts, or with none if nobody has them."""
    docs: list[RerankDocument] = []
    for place, score in event.data["scores"]:
        index = int(place)
        if texts is not None and not 0 <= index < len(texts):
            raise ValueError(f"ranks document {index} of {len(texts)}")
        text = "" if texts is None else texts[index]
        docs.append(RerankDocument(index=index, text=text, score=score))
    return RankedBatch(int(event.data["start"]), docs)


def ranking_end(event: Event) -> RankingEnd:
    """Give what the `result` event of a rerank says."""
    return RankingEnd(str(event.data["model"]), int(event.data["ranked"]))


def join_ranking(pieces: Iterable[RankedBatch | RankingEnd]) -> RerankResult:
    """Put the pieces of a ranking together; as for vectors, none may be missing."""
    docs, end = _joined(pieces)
    return RerankResult(model=end.model, docs=docs)


def join_multimodal_ranking(pieces: Iterable[RankedBatch | RankingEnd]) -> MultiModalRerankResult:
    """As `join_ranking`, for documents."""
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
    if end is not None and end.count and not docs:
        raise PartialAnswerError(missing=f"its {end.count} ranks")
    if end is None or end.count != len(docs):
        raise ProtocolError(where="rerank", problem=f"breaks off after {len(docs)} ranks")
    return docs, end
