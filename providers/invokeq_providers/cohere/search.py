"""Cohere's models for search: embeddings and reranking."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from invokeq.protocol.entities import (
    EmbeddingInputType,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.base import Embedded, EmbeddingCall, RerankCall, Score
from invokeq_providers.cohere.api import Body, CohereVendor
from invokeq_providers.models.documents import data_url, only_text
from invokeq_providers.models.embedding_decode import rows_of, wanted_dimensions

_INPUT_TYPES: Final = {
    EmbeddingInputType.QUERY: "search_query",
    EmbeddingInputType.DOCUMENT: "search_document",
}


async def embed(vendor: CohereVendor, call: EmbeddingCall) -> Embedded:
    """Return a vector for each text or document, in order, and the billed tokens.

    Cohere embeds queries and searched documents differently. Raise the errors of `VendorErrors`.
    """
    body: Body = {
        "model": call.model,
        "input_type": _INPUT_TYPES[call.input_type],
        "embedding_types": ["base64"],
    }
    if call.texts:
        body["texts"] = list(call.texts)
    else:
        body["inputs"] = [{"content": [_content(document)]} for document in call.documents]
    dimensions = wanted_dimensions(call.facts)
    if dimensions is not None:
        body["output_dimension"] = dimensions
    async with vendor.errors.translated(call.model):
        answer = await vendor.ask(vendor.open().embed, body)
    return vendor.errors.read(call.model, _embedded, answer)


async def rerank(vendor: CohereVendor, call: RerankCall) -> Sequence[Score]:
    """Return the scores of documents, and record the searches as usage.

    Raise InvalidRequestError for media, because the API takes text only, and the errors of
    `VendorErrors`.
    """
    body: Body = {
        "model": call.model,
        "query": _text(vendor, call, "query", call.query),
        "documents": [_text(vendor, call, f"docs[{i}]", doc) for i, doc in enumerate(call.docs)],
    }
    if call.top_n is not None:
        body["top_n"] = call.top_n
    async with vendor.errors.translated(call.model):
        answer = await vendor.ask(vendor.open().rerank, body)
    scores = vendor.errors.read(call.model, _scores, answer)
    searches = vendor.errors.read(call.model, _searches, answer)
    if searches is not None:
        call.record_usage(searches, BillingUnit.SEARCH)
    return scores


def _content(document: MultiModalContent) -> Body:
    if document.content_type is MultiModalContentType.TEXT:
        return {"type": "text", "text": document.content}
    return {"type": "image_url", "image_url": {"url": data_url(document.content)}}


def _text(
    vendor: CohereVendor, call: RerankCall, field: str, given: str | MultiModalContent
) -> str:
    if isinstance(given, str):
        return given
    return only_text(field, given, vendor.name, call.model)


def _embedded(answer: Mapping[str, Any]) -> Embedded:
    embeddings: Mapping[str, Any] = answer["embeddings"]
    # A server without base64 returns numbers, under either name.
    rows = rows_of(embeddings.get("base64") or embeddings["float"])
    billed = _billed(answer)
    counted = (billed.get("input_tokens"), billed.get("image_tokens"))
    return Embedded(rows, int(sum(count or 0 for count in counted)))


def _searches(answer: Mapping[str, Any]) -> float | None:
    searches = _billed(answer).get("search_units")
    return None if searches is None else float(searches)


def _billed(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    meta: Mapping[str, Any] = answer.get("meta") or {}
    return meta.get("billed_units") or {}


def _scores(answer: Mapping[str, Any]) -> list[Score]:
    return [
        Score(int(result["index"]), float(result["relevance_score"]))
        for result in answer["results"]
    ]
