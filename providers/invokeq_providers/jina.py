"""Jina AI's models for search: embeddings and reranking, of texts and of pictures.

Jina has no SDK, so requests are made here, with the HTTP client under the other vendors' SDKs.
Servers with the same API (llama.cpp's, Text Embeddings Inference, vLLM) are set by `base_url`.
Retries are left to the worker.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import httpx2
import orjson

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelType,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.base import Embedded, EmbeddingCall, RerankCall, Score
from invokeq_providers.http.client import new_http_client
from invokeq_providers.http.reported import said_in
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor import VendorOptions, VendorProvider
from invokeq_providers.http.vendor_errors import ErrorKinds
from invokeq_providers.models.documents import bare_base64
from invokeq_providers.models.embedding_decode import indexed_rows, wanted_dimensions
from invokeq_providers.options import parse_options

Body = dict[str, Any]


def _failure(error: Exception) -> Failure | None:
    if not isinstance(error, httpx2.HTTPStatusError):
        return None
    response = error.response
    try:
        said = said_in(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        said = response.text
    return Failure(
        status=response.status_code,
        detail=said or response.reason_phrase,
        retry_after=retry_after_seconds(response.headers, time.time()),
    )


_KINDS: Final = ErrorKinds(
    faults=(httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL),
    silences=(httpx2.ReadTimeout,),
    wrappers=(),
    failure=_failure,
)


class JinaProvider(VendorProvider):
    """Provider of the type `jina`."""

    vendor_url = "https://api.jina.ai/v1"
    facts_name = "jina"
    model_types: frozenset[ModelType] = frozenset({ModelType.TEXT_EMBEDDING, ModelType.RERANK})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._options = parse_options(VendorOptions, name, options)
        super().__init__(name, options, self._options, _KINDS)
        self._client: httpx2.AsyncClient | None = None

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        del model_types  # what it opens serves all of them
        self._open()

    async def close(self) -> None:
        # Taken out first, so that a second `close` during the await finds no client to close.
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        body: Body = {
            "model": call.model,
            "input": list(call.texts) or [_document(document) for document in call.documents],
            "embedding_type": "base64",
        }
        task = _task(call.facts, call.input_type)
        if task is not None:
            body["task"] = task
        dimensions = wanted_dimensions(call.facts)
        if dimensions is not None:
            body["dimensions"] = dimensions
        answer = await self._ask("/embeddings", body, call.model)
        return self.errors.read(call.model, _embedded, answer)

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        # Documents stay out of the answer: the caller has them, and they may be megabytes.
        body: Body = {
            "model": call.model,
            "query": _document(call.query),
            "documents": [_document(document) for document in call.docs],
            "return_documents": False,
        }
        if call.top_n is not None:
            body["top_n"] = call.top_n
        answer = await self._ask("/rerank", body, call.model)
        scores = self.errors.read(call.model, _scores, answer)
        tokens = self.errors.read(call.model, _tokens, answer)
        if tokens:
            call.record_usage(tokens, BillingUnit.TOKEN)
        return scores

    async def _ask(self, path: str, body: Body, model: str) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        async with self.errors.translated(model):
            url = f"{self.url.rstrip('/')}{path}"
            content = orjson.dumps(body)
            response = await self._open().post(url, content=content, headers=headers)
            response.raise_for_status()
            return orjson.loads(response.content)

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            plain = httpx2.AsyncClient
            timeouts = self._options.connect_timeout, self._options.read_timeout
            self._client = new_http_client(plain, plain, *timeouts)
        return self._client


def _task(facts: AIModelEntity, input_type: EmbeddingInputType) -> str | None:
    """Return the model's `task` for embedding a query or a document, None without a rule.

    The options of the rule hold the task for queries first, and the task for documents last.
    """
    rule = next((rule for rule in facts.parameter_rules if rule.name == "task"), None)
    if rule is None or not rule.options:
        return None
    return rule.options[0] if input_type is EmbeddingInputType.QUERY else rule.options[-1]


def _document(document: str | MultiModalContent) -> str | Body:
    if isinstance(document, str):
        return document
    if document.content_type is MultiModalContentType.TEXT:
        return document.content
    return {"image": bare_base64(document.content)}


def _embedded(answer: Mapping[str, Any]) -> Embedded:
    return Embedded(indexed_rows(answer["data"]), _tokens(answer))


def _tokens(answer: Mapping[str, Any]) -> int:
    usage: Mapping[str, Any] = answer.get("usage") or {}
    return int(usage.get("total_tokens") or usage.get("prompt_tokens") or 0)


def _scores(answer: Mapping[str, Any]) -> list[Score]:
    return [
        Score(int(result["index"]), float(result["relevance_score"]))
        for result in answer["results"]
    ]
