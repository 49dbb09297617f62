"""Turns an embedding request into the batches that a provider gets. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelPropertyKey,
    ModelType,
    MultiModalContent,
)
from invokeq.protocol.requests import MultiModalEmbeddingRequest, TextEmbeddingRequest
from invokeq_providers.base import EmbeddingCall, Provider
from invokeq_providers.calls.prepare_documents import check_documents, check_texts, takes_documents
from invokeq_providers.models.properties import count_property

DEFAULT_MAX_CHUNKS: Final = 32
"""Texts of one batch where the facts of the model say nothing; what most vendors take."""

EmbeddingRequest = TextEmbeddingRequest | MultiModalEmbeddingRequest


def prepare_embedding(
    request: EmbeddingRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> list[EmbeddingCall]:
    """Check the texts, and cut them into batches of the model's `max_chunks`; none for no texts.

    Documents go as texts to a model that takes nothing else. Raises `ModelNotFoundError`, or
    `InvalidRequestError` naming the text.
    """
    facts = provider.facts(ModelType.TEXT_EMBEDDING, request.model)
    size = count_property(facts, ModelPropertyKey.MAX_CHUNKS, DEFAULT_MAX_CHUNKS)
    texts, documents = _inputs(request, facts, provider.name)
    return [
        EmbeddingCall(
            request_id=request_id,
            model=request.model,
            facts=facts,
            texts=batch_of_texts,
            documents=batch_of_documents,
            input_type=EmbeddingInputType(request.input_type),
            user=user,
        )
        for batch_of_texts, batch_of_documents in _batches(texts, documents, size)
    ]


def _inputs(
    request: EmbeddingRequest, facts: AIModelEntity, provider: str
) -> tuple[Sequence[str], Sequence[MultiModalContent]]:
    if isinstance(request, TextEmbeddingRequest):
        check_texts("texts", request.texts, facts, provider)
        return request.texts, ()
    check_documents("documents", request.documents, facts, provider)
    if takes_documents(facts):
        return (), request.documents
    return [document.content for document in request.documents], ()


def _batches(
    texts: Sequence[str], documents: Sequence[MultiModalContent], size: int
) -> Iterator[tuple[Sequence[str], Sequence[MultiModalContent]]]:
    for start in range(0, len(texts) or len(documents), size):
        yield texts[start : start + size], documents[start : start + size]
