"""OpenAI's embedding models."""

from collections.abc import Sequence
from typing import Final

from invokeq_providers.base import Embedded, EmbeddingCall
from invokeq_providers.models.documents import only_text
from invokeq_providers.models.embedding_decode import read_embeddings, wanted_dimensions
from invokeq_providers.openai.api import Body, OpenAIVendor

# Upper bounds of a request and of a text, from "Create embeddings" in the API reference. A token
# has at least one byte, so the bytes of a text bound the tokens.
_REQUEST_TOKENS: Final = 300_000
_TEXT_TOKENS: Final = 8192


async def embed(vendor: OpenAIVendor, call: EmbeddingCall) -> Embedded:
    """Return the vectors of texts, in as many requests as the vendor's bound on tokens needs."""
    texts = call.texts or [
        only_text(f"documents[{i}]", document, vendor.name, call.model)
        for i, document in enumerate(call.documents)
    ]
    parts: list[Embedded] = []
    for part in split_texts(texts):
        parts.append(await _embed_part(vendor, call, part))
        call.heartbeat()
    return Embedded([row for part in parts for row in part.rows], sum(p.tokens for p in parts))


def split_texts(texts: Sequence[str]) -> list[Sequence[str]]:
    """Split the list of texts so that each request stays within the bound on tokens."""
    parts: list[Sequence[str]] = []
    start, tokens = 0, 0
    for i, text in enumerate(texts):
        most = min(len(text.encode()), _TEXT_TOKENS)
        if tokens + most > _REQUEST_TOKENS:
            parts.append(texts[start:i])
            start, tokens = i, 0
        tokens += most
    return [*parts, texts[start:]]


async def _embed_part(vendor: OpenAIVendor, call: EmbeddingCall, texts: Sequence[str]) -> Embedded:
    body: Body = {"model": call.model, "input": list(texts), "encoding_format": "base64"}
    dimensions = wanted_dimensions(call.facts)
    if dimensions is not None:
        body["dimensions"] = dimensions
    if call.user:
        body["user"] = call.user
    async with vendor.errors.translated(call.model), vendor.post("/embeddings", body) as response:
        answer = await response.aread()
    return vendor.errors.read(call.model, _embedded, answer)


def _embedded(answer: bytes) -> Embedded:
    rows, usage = read_embeddings(answer)
    return Embedded(rows, int(usage.get("prompt_tokens") or usage.get("total_tokens") or 0))
