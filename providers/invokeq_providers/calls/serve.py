"""Finds who serves a kind of request."""

from collections.abc import AsyncGenerator

from invokeq.protocol.requests import (
    LLMRequest,
    LLMStructuredOutputRequest,
    ModerationRequest,
    MultiModalEmbeddingRequest,
    MultiModalRerankRequest,
    Request,
    RerankRequest,
    Speech2TextRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq_providers.calls.embedding import serve_embedding
from invokeq_providers.calls.llm import serve_llm
from invokeq_providers.calls.moderation import serve_moderation
from invokeq_providers.calls.outputs import Output, Services
from invokeq_providers.calls.rerank import serve_rerank
from invokeq_providers.calls.speech2text import serve_speech2text
from invokeq_providers.calls.structured import serve_structured
from invokeq_providers.calls.summary import serve_summary
from invokeq_providers.calls.tts import serve_tts


def serve(request: Request, services: Services) -> AsyncGenerator[Output, None]:
    """Answer a request piece by piece; closing the generator closes connections to the vendor."""
    match request:
        case LLMRequest():
            said = serve_llm(request, services)
        case LLMStructuredOutputRequest():
            said = serve_structured(request, services)
        case SummaryRequest():
            said = serve_summary(request, services)
        case TextEmbeddingRequest() | MultiModalEmbeddingRequest():
            said = serve_embedding(request, services)
        case RerankRequest() | MultiModalRerankRequest():
            said = serve_rerank(request, services)
        case TTSRequest():
            said = serve_tts(request, services)
        case Speech2TextRequest():
            said = serve_speech2text(request, services)
        case ModerationRequest():
            said = serve_moderation(request, services)
    return said
