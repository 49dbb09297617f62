"""Rerank calls: unchanged scores of the vendor, best first, threshold before top_n."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Final

from invokeq.protocol.entities import AIModelEntity, ModelType, MultiModalContent
from invokeq.protocol.errors import UnusableAnswerError
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest
from invokeq_providers.base import Provider, RerankCall, Score
from invokeq_providers.calls.documents import (
    check_document,
    check_documents,
    check_text,
    check_texts,
    takes_documents,
)
from invokeq_providers.calls.outputs import Output, Result, Scores, Services
from invokeq_providers.models.usage import UsageAccumulator

AT_ONCE: Final = 8192
"""Upper bound of scores in one event, about 250 KB, so that no event stalls Redis."""


async def serve_rerank(
    request: RerankRequest | MultiModalRerankRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield the scores that reach the threshold, at most `top_n`, best first; then the count.

    Documents go by index, because the caller has the texts. Documents of equal score stay in the
    vendor's order. Raises `UnusableAnswerError` for scores that fail a check.
    """
    provider = services.provider(request.provider)
    call = prepare_rerank(request, provider, request_id=services.request_id, user=services.user)
    accumulator = UsageAccumulator(provider.facts(ModelType.RERANK, request.model))
    ranked: list[tuple[int, float]] = []
    if call is not None:
        call = replace(call, heartbeat=services.heartbeat, record_usage=accumulator.record_usage)
        scores = await provider.rerank(call)
        check_scores(scores, call, provider.name)
        best = rank(scores, request.score_threshold, request.top_n)
        ranked = [(found.index, found.score) for found in best]
    for at in range(0, len(ranked), AT_ONCE):
        yield Scores(at, ranked[at : at + AT_ONCE])
    yield Result({"model": request.model, "ranked": len(ranked)}, accumulator.usage)


def rank(scores: Sequence[Score], threshold: float | None, top_n: int | None) -> list[Score]:
    """Sort best first, drop scores below the threshold, keep the first `top_n`."""
    kept = [found for found in scores if threshold is None or found.score >= threshold]
    # The sort is stable with reverse=True too: equal scores keep the vendor's order.
    return sorted(kept, key=lambda found: found.score, reverse=True)[:top_n]


def check_scores(scores: Sequence[Score], call: RerankCall, provider: str) -> None:
    """Raise `UnusableAnswerError` for unknown documents, and double, missing or NaN scores."""
    wanted = len(call.docs) if call.top_n is None else min(call.top_n, len(call.docs))
    seen: set[int] = set()
    for found in scores:
        problem = None
        if not 0 <= found.index < len(call.docs):
            problem = f"it has a score for document {found.index} of {len(call.docs)}"
        elif found.index in seen:
            problem = f"it has two scores for document {found.index}"
        elif not math.isfinite(found.score):
            problem = f"the score of document {found.index} is {found.score}"
        if problem is not None:
            raise UnusableAnswerError(provider=provider, model=call.model, problem=problem)
        seen.add(found.index)
    # More scores than `top_n` are no error: `rank` cuts the list.
    if len(seen) < wanted:
        problem = f"it has scores for {len(seen)} of {wanted} documents"
        raise UnusableAnswerError(provider=provider, model=call.model, problem=problem)


def prepare_rerank(
    request: RerankRequest | MultiModalRerankRequest,
    provider: Provider,
    *,
    request_id: str = "",
    user: str | None = None,
) -> RerankCall | None:
    """Check query and documents, and return the call; None without documents to score.

    A text-only model gets multimodal documents as texts. Raises `ModelNotFoundError`, or
    `InvalidRequestError` naming the document.
    """
    facts = provider.facts(ModelType.RERANK, request.model)
    query, docs = _inputs(request, facts, provider.name)
    if not docs:
        return None
    return RerankCall(
        request_id=request_id,
        model=request.model,
        facts=facts,
        query=query,
        docs=docs,
        top_n=request.top_n,
        user=user,
    )


def _inputs(
    request: RerankRequest | MultiModalRerankRequest, facts: AIModelEntity, provider: str
) -> tuple[str | MultiModalContent, Sequence[str] | Sequence[MultiModalContent]]:
    if isinstance(request, RerankRequest):
        check_text("query", request.query, facts, provider)
        check_texts("docs", request.docs, facts, provider)
        return request.query, request.docs
    check_document("query", request.query, facts, provider)
    check_documents("docs", request.docs, facts, provider)
    if takes_documents(facts):
        return request.query, request.docs
    return request.query.content, [document.content for document in request.docs]
