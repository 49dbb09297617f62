"""Decode the vectors of an embedding and join the batches in order."""

import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from invokeq.protocol.entities import (
    EmbeddingUsage,
    MultiModalEmbeddingResult,
    TextEmbeddingResult,
)
from invokeq.protocol.errors import PartialAnswerError, ProtocolError
from invokeq.protocol.events import Event

_TYPECODES: Final = {"<f4": "f", "<f8": "d"}


class VectorBatch(NamedTuple):
    """The vectors of consecutive texts, the first of which has the index `start`."""

    start: int
    vectors: list[list[float]]


@dataclass(frozen=True, slots=True)
class EmbeddingEnd:
    """The item after the last vector; `count` is the number of vectors."""

    model: str
    count: int
    usage: EmbeddingUsage


def unpack_vectors(event: Event) -> VectorBatch:
    """Return the vectors of a `vectors` event, bit-exact.

    The blob is `count` rows of `dimensions` little-endian floats, `<f4` or `<f8`. Raises
    ProtocolError for another dtype or length.
    """
    meta: Mapping[str, Any] = event.data
    typecode = _TYPECODES.get(str(meta.get("dtype")))
    if typecode is None:
        raise ProtocolError(
            where=f"event {event.id}", problem=f"has vectors of {meta.get('dtype')}"
        )
    numbers: array[float] = array(typecode)
    if len(event.blob) != meta["count"] * meta["dimensions"] * numbers.itemsize:
        raise ProtocolError(where=f"event {event.id}", problem="has vectors of a wrong length")
    numbers.frombytes(event.blob)
    if sys.byteorder == "big":  # the wire is little-endian
        numbers.byteswap()
    width = int(meta["dimensions"])
    # Row by row: a list of all numbers, cut afterwards, would be touched once more.
    places = range(0, len(numbers), width) if width else ()
    rows = [numbers[at : at + width].tolist() for at in places]
    return VectorBatch(int(meta["start"]), rows)


def embedding_end(event: Event) -> EmbeddingEnd:
    """Return the end of an embedding from the `result` event."""
    return EmbeddingEnd(
        str(event.data["model"]),
        int(event.data["count"]),
        EmbeddingUsage.model_validate(event.data["usage"]),
    )


def join_vectors(pieces: Iterable[VectorBatch | EmbeddingEnd]) -> TextEmbeddingResult:
    """Join the batches of an embedding.

    Raises PartialAnswerError if reading began behind the first batches, ProtocolError if any other
    batch is missing.
    """
    rows, end = _joined(pieces)
    # Not validated: a million floats take longer to look at than they took to travel.
    return TextEmbeddingResult.model_construct(model=end.model, embeddings=rows, usage=end.usage)


def join_multimodal_vectors(
    pieces: Iterable[VectorBatch | EmbeddingEnd],
) -> MultiModalEmbeddingResult:
    """Join as `join_vectors`, for documents."""
    rows, end = _joined(pieces)
    return MultiModalEmbeddingResult.model_construct(
        model=end.model, embeddings=rows, usage=end.usage
    )


def _joined(
    pieces: Iterable[VectorBatch | EmbeddingEnd],
) -> tuple[list[list[float]], EmbeddingEnd]:
    rows: list[list[float]] = []
    end: EmbeddingEnd | None = None
    for piece in pieces:
        if isinstance(piece, EmbeddingEnd):
            end = piece
        elif piece.start == len(rows):
            rows += piece.vectors
        elif not rows:
            raise PartialAnswerError(missing=f"vectors 0 to {piece.start - 1}")
    # Reading began behind the last batch: an answer is there, but not for this reader.
    if end is not None and end.count and not rows:
        raise PartialAnswerError(missing=f"its {end.count} vectors")
    if end is None or end.count != len(rows):
        raise ProtocolError(where="embedding", problem=f"breaks off after {len(rows)} vectors")
    return rows, end
