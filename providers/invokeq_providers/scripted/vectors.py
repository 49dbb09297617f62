"""Made-up vectors and scores: equal texts give equal numbers, on every machine."""

import math
from array import array
from collections.abc import Sequence
from hashlib import shake_128

from invokeq.protocol.entities import EmbeddingInputType, MultiModalContent
from invokeq_providers.base import Embedded, EmbeddingCall, RerankCall, Score
from invokeq_providers.scripted.plan import EmbeddingPlan, RerankPlan


def scripted_vector(
    text: str,
    input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
    *,
    dimensions: int = 8,
    dtype: str = "f4",
) -> "array[float]":
    """Return the vector of a text, `dimensions` numbers of about -1 to 1.

    The numbers of `f4` are exact in 32 bits; the numbers of `f8` need 64.
    """
    # Not `hash`, which differs between processes.
    noise = shake_128(f"{input_type.value}:{text}".encode()).digest(dimensions)
    if dtype == "f4":
        return array("f", ((byte - 128) / 128 for byte in noise))
    return array("d", ((byte - 128) / 127 for byte in noise))


def embed(call: EmbeddingCall, plan: EmbeddingPlan, *, spoilt: bool) -> Embedded:
    """Return one vector for each input of a batch, in order; a word is a token."""
    texts = inputs(call.texts or call.documents)
    rows = [
        scripted_vector(text, call.input_type, dimensions=plan.dimensions, dtype=plan.dtype)
        for text in texts
    ]
    if spoilt and plan.spoil is not None:
        _spoil_rows(rows, plan.spoil)
    return Embedded(rows=rows, tokens=sum(len(text.split()) for text in texts))


def score(call: RerankCall, plan: RerankPlan, *, spoilt: bool) -> list[Score]:
    """Return a score from 0 to 1 for each document, in order: the share of the query's words.

    Planned scores come first, and may have any value.
    """
    query, docs = inputs([call.query])[0], inputs(call.docs)
    wanted = set(query.casefold().split())
    scores = [
        Score(i, plan.scores[i] if i < len(plan.scores) else _share(wanted, text))
        for i, text in enumerate(docs)
    ]
    if spoilt and plan.spoil is not None:
        _spoil_scores(scores, plan.spoil)
    return scores


def inputs(
    documents: Sequence[str] | Sequence[MultiModalContent] | Sequence[str | MultiModalContent],
) -> list[str]:
    """Return texts unchanged, and documents as the content of the document."""
    return [item if isinstance(item, str) else item.content for item in documents]


def _share(wanted: set[str], text: str) -> float:
    return len(wanted & set(text.casefold().split())) / max(1, len(wanted))


def _spoil_rows(rows: "list[array[float]]", how: str) -> None:
    match how:
        case "nan":
            rows[-1][-1] = math.nan
        case "infinity":
            rows[-1][0] = math.inf
        case "short":
            rows[-1].pop()
        case "empty":
            del rows[-1][:]
        case "missing":
            rows.pop()
        case _:
            rows.append(rows[-1])


def _spoil_scores(scores: list[Score], how: str) -> None:
    last = scores[-1]
    match how:
        case "nan":
            scores[-1] = Score(last.index, math.nan)
        case "duplicate":
            scores.append(last)
        case "out_of_range":
            scores[-1] = Score(len(scores), last.score)
        case _:
            scores.pop()
