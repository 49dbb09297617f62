"""Rerank with MiniLM: the score of a document is the cosine of its vector and the query's.

MiniLM reads query and document apart. A cross-encoder reads both together and ranks better, but no
package ships the weights of one. MiniLM confuses documents that differ in a name or a number only.
A long document is read in windows, and the best window counts.
"""

from typing import Final

from invokeq_providers.base import RerankCall, Score
from invokeq_providers.local.embedding import MiniLM, Texts, plain_text

MAX_WINDOWS: Final = 8  # of a document; what comes after about 1,800 tokens does not count


async def rank(minilm: MiniLM, call: RerankCall) -> list[Score]:
    """Return a score from -1 to 1 for each document of a call, in order."""
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
