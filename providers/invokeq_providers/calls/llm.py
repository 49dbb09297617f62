"""LLM calls: chunks as the model makes them, or one chunk when nobody waits for them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from invokeq.protocol.requests import LLMRequest
from invokeq_providers.calls.outputs import Output, Services
from invokeq_providers.calls.prepare_llm import prepare_llm
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import LLMChunk


def serve_llm(request: LLMRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Answer with the provider's chunks; with `stream=False` collected into one."""
    provider = services.provider(request.provider)
    call = prepare_llm(
        request,
        provider,
        request_id=services.request_id,
        user=services.user,
        alive=services.heard,
    )
    services.ignored(provider.name, call.model, call.ignored_parameters)
    answer = provider.llm(call)
    return answer if request.stream else _collected(answer, services.heard)


async def _collected(
    answer: AsyncGenerator[LLMChunk, None], heard: Callable[[], None]
) -> AsyncGenerator[Output, None]:
    collected: list[LLMChunk] = []
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            heard()
            collected.append(chunk)
    yield collect(collected)
