"""LLM calls: chunks as the model makes them, or one chunk when nobody waits for them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from invokeq.protocol.requests import LLMRequest
from invokeq_providers.calls.said import Said, Services
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.collect import collect
from invokeq_providers.prepare import prepare_llm


async def serve_llm(request: LLMRequest, services: Services) -> AsyncGenerator[Said, None]:
    """Answer with the provider's chunks; with `stream=False` collected into one."""
    provider = services.provider(request.provider)
    call = prepare_llm(request, provider, request_id=services.request_id, user=services.user)
    call = replace(call, alive=services.heard)
    services.ignored(provider.name, call.model, call.ignored_parameters)
    collected: list[LLMChunk] = []
    async with aclosing(provider.llm(call)) as chunks:
        async for chunk in chunks:
            if request.stream:
                yield chunk
            else:
                services.heard()
                collected.append(chunk)
    if not request.stream:
        yield collect(collected)
