"""Rerank with MiniLM: the score of a document is the cosine of its vector and the query's.

MiniLM reads query and document apart; a cross-encoder, which reads them together, would be better,
but none ships its weights in a package. Names and numbers that nothing else tells apart are what it
mixes up. A long document is read in windows, and its best one counts.
"""

from typing import Final

from invokeq_providers.base import RerankCall, Score
from invokeq_providers.local.embedding import Encoder, MiniLM, plain_text
from invokeq_providers.local.thread import Stop

MAX_WINDOWS: Final = 8  # of a document; what comes after about 1,800 tokens does not count


async def rank(minilm: MiniLM, call: RerankCall) -> list[Score]:
    """Score every document of a call, in their order; scores are from -1 to 1."""
    query = plain_text("query", call.query)
    documents = [plain_text(f"docs[{i}]", document) for i, document in enumerate(call.docs)]

    def work(encoder: Encoder, stop: Stop) -> list[Score]:
        windows = encoder.tokens(documents, windows=MAX_WINDOWS)
        rows = [encoder.tokens([query])[0][0], *(row for rows in windows for row in rows)]
        vectors = encoder.vectors(rows, stop)
        cosines: list[float] = (vectors[1:] @ vectors[0]).tolist()
        best: list[Score] = []
        at = 0
        for index, document in enumerate(windows):
            best.append(Score(index, max(cosines[at : at + len(document)])))
            at += len(document)
        return best

    return await minilm.run(work, call.alive)
