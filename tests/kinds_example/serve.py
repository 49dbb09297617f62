"""The provider side: a checked request goes in, outputs come out."""

from collections.abc import AsyncGenerator

from invokeq.protocol.entities import ModelType
from invokeq_providers.base import provider_as
from invokeq_providers.calls import Output, Result, Services
from tests.kinds_example.kind import TranslationRequest
from tests.kinds_example.provider import TranslatingProvider, TranslationCall


async def serve_translation(
    request: TranslationRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield one result with the text."""
    provider = provider_as(services.provider(request.provider), TranslatingProvider)
    facts = provider.facts(ModelType.LLM, request.model)
    call = TranslationCall(model=facts.model, text=request.text, target=request.target)
    yield Result({"text": await provider.translate(call)})
