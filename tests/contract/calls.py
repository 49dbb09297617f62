"""Prepared calls of every kind but LLM calls, as the worker hands them to a provider."""

from collections.abc import Sequence
from decimal import Decimal

from invokeq.protocol.entities import EmbeddingInputType, ModelType, MultiModalContent
from invokeq.protocol.usage import BillingUnit
from invokeq_providers import Provider
from invokeq_providers.base import (
    EmbeddingCall,
    ModerationCall,
    RerankCall,
    SpeechCall,
    TranscriptionCall,
)

REQUEST_ID = "0123456789abcdef0123456789abcdef"


def embedding(
    provider: Provider,
    model: str,
    texts: Sequence[str] = (),
    *,
    documents: Sequence[MultiModalContent] = (),
    input_type: EmbeddingInputType = EmbeddingInputType.DOCUMENT,
) -> EmbeddingCall:
    """Prepare one batch."""
    facts = provider.facts(ModelType.TEXT_EMBEDDING, model)
    return EmbeddingCall(REQUEST_ID, model, facts, texts, documents, input_type, "ann")


def rerank(
    provider: Provider,
    model: str,
    query: str | MultiModalContent,
    docs: Sequence[str] | Sequence[MultiModalContent],
    top_n: int | None = None,
) -> RerankCall:
    """Prepare a call with documents."""
    facts = provider.facts(ModelType.RERANK, model)
    return RerankCall(REQUEST_ID, model, facts, query, docs, top_n, "ann")


def speech(provider: Provider, model: str, text: str, voice: str = "alloy") -> SpeechCall:
    """Prepare one piece of text."""
    facts = provider.facts(ModelType.TTS, model)
    return SpeechCall(REQUEST_ID, model, facts, text, voice, "ann")


def transcription(provider: Provider, model: str, audio: bytes) -> TranscriptionCall:
    """Return a call with an audio file recognised as wav."""
    facts = provider.facts(ModelType.SPEECH2TEXT, model)
    return TranscriptionCall(REQUEST_ID, model, facts, audio, "audio/wav", "audio.wav", "ann")


def moderation(provider: Provider, model: str, text: str) -> ModerationCall:
    """Prepare a text."""
    facts = provider.facts(ModelType.MODERATION, model)
    return ModerationCall(REQUEST_ID, model, facts, text, "ann")


class Bills(list[tuple[float | Decimal, str]]):
    """A recorder of billed usage, for the `record_usage` of a call."""

    def __call__(self, amount: float | Decimal, unit: BillingUnit) -> None:
        self.append((amount, unit.value))
