"""Rerank with MiniLM: the score of a document is the cosine of its vector and the query's.

MiniLM reads query and document apart; a cross-encoder, which reads them together, would be better,
but none ships its weights in a package. Names and numbers that nothing else tells apart are what it
mixes up. A long document is read in windows, and its best one counts.
"""

from typing import Final

from invokeq_providers.base import RerankCall, Score
from invokeq_providers.local.embedding import MiniLM, Texts, plain_text

MAX_WINDOWS: Final = 8  # of a document; what comes after about 1,800 tokens does not count


async def rank(minilm: MiniLM, call: RerankCall) -> list[Score]:
    """Score every document of a call, in their order; scores are from -1 to 1."""
    query = plain_text("query", call.query)
    documents = [plain_text(f"docs[{i}]", document) for i, document in enumerate(call.docs)]

    windows = [1, *(MAX_WINDOWS for _ in documents)]
    found = await minilm.vectors(Texts([query, *documents], windows), call.heartbeat)
    cosines: list[float] = (found.rows[1:] @ found.rows[0]).tolist()
    best: list[Score] = []
    at = 0
    for index, count in enumerate(found.windows[1:]):
        best.append(Score(index, max(cosines[at : at + count])))
        at += count
    return best
