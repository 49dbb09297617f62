"""The results of all model calls except LLM calls."""

from decimal import Decimal

from pydantic import BaseModel


class EmbeddingUsage(BaseModel):
    """The tokens, the cost and the duration of an embedding call.

    `total_price` is tokens x `unit_price` x `price_unit`, in `currency`. `latency` is in seconds.
    """

    tokens: int
    total_tokens: int
    unit_price: Decimal
    price_unit: Decimal
    total_price: Decimal
    currency: str
    latency: float


class TextEmbeddingResult(BaseModel):
    """One vector for each text, in order: shape (texts, dimensions)."""

    model: str
    embeddings: list[list[float]]
    usage: EmbeddingUsage


class MultiModalEmbeddingResult(BaseModel):
    """One vector for each document, in order: shape (documents, dimensions)."""

    model: str
    embeddings: list[list[float]]
    usage: EmbeddingUsage


class RerankDocument(BaseModel):
    """A document and a score; `index` is the document's place in the call, from 0."""

    index: int
    text: str
    score: float


class RerankResult(BaseModel):
    """The ranked documents of a rerank call, best first."""

    model: str
    docs: list[RerankDocument]


class MultiModalRerankResult(BaseModel):
    """The ranked documents of a multimodal rerank call."""

    model: str
    docs: list[RerankDocument]


class TTSResult(BaseModel):
    """One segment of speech; `result` is the audio as hexadecimal digits."""

    result: str
    mime_type: str | None = None


class Speech2TextResult(BaseModel):
    """The transcript of the audio."""

    result: str


class ModerationResult(BaseModel):
    """Whether the text was flagged."""

    result: bool


class SummaryResult(BaseModel):
    """The summary of a text."""

    summary: str
