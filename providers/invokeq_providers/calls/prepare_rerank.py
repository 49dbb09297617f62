"""Turns a rerank request into the call that a provider gets. Pure."""

from collections.abc import Sequence

from invokeq.protocol.entities import AIModelEntity, ModelType, MultiModalContent
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest
from invokeq_providers.base import Provider, RerankCall
from invokeq_providers.calls.prepare_documents import (
    check_document,
    check_documents,
    check_text,
    check_texts,
    takes_documents,
)


def prepare_rerank(
    request: RerankRequest | MultiModalRerankRequest,
    provider: Provider,
    *,
    request_id: str = "",
    user: str | None = None,
) -> RerankCall | None:
    """Check query and documents; None if there are no documents, so that nobody is asked.

    Multimodal ones go as texts to a model that takes nothing else. Raises `ModelNotFoundError`, or
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
