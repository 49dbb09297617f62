"""Structured output: an LLM's answer that is an object, and obeys the caller's schema."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
)
from invokeq.protocol.errors import UnusableAnswerError
from invokeq.protocol.requests import LLMStructuredOutputRequest
from invokeq_providers.calls.outputs import Output, Services
from invokeq_providers.calls.prepare_structured import prepare_structured
from invokeq_providers.chat.answer_schema import UnfitAnswerError, check_schema, read_answer
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import LLMChunk, TextChunk

_CUT_OFF = "length"  # the finish reason of an answer that ran into max_tokens


async def serve_structured(
    request: LLMStructuredOutputRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Answer with the provider's chunks, then one with the object; or all in one, if not streamed.

    An answer that calls tools, and says nothing else, has no object, and needs none. Raises
    `UnusableAnswerError` for an answer that does not obey the schema, though it was repaired.
    """
    await asyncio.to_thread(check_schema, request.structured_output_schema)
    provider = services.provider(request.provider)
    call = prepare_structured(
        request,
        provider,
        request_id=services.request_id,
        user=services.user,
        alive=services.heard,
    )
    services.ignored(provider.name, call.model, call.ignored_parameters)
    answer = _Answer()
    collected: list[LLMChunk] = []
    async with aclosing(provider.llm(call)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
            if request.stream:
                yield chunk
            else:
                services.heard()
                collected.append(chunk)
    found = await answer.read(request, provider.name)
    if not request.stream:
        whole = collect(collected)
        yield LLMResultChunkWithStructuredOutput(
            model=whole.model,
            system_fingerprint=whole.system_fingerprint,
            delta=whole.delta,
            structured_output=found,
        )
    elif found is not None:
        message = AssistantPromptMessage(content="")
        yield LLMResultChunkWithStructuredOutput(
            model=call.model,
            delta=LLMResultChunkDelta(index=0, message=message),
            structured_output=found,
        )


class _Answer:
    """What is needed of an answer to read it: far less than its chunks."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls_tools = False
        self._finish_reason: str | None = None

    def add(self, chunk: LLMChunk) -> None:
        """Take the next chunk."""
        if isinstance(chunk, TextChunk):
            self._texts.append(chunk.text)
            return
        message = chunk.delta.message
        self._texts.append(message.get_text_content())
        self._calls_tools = self._calls_tools or bool(message.tool_calls)
        self._finish_reason = chunk.delta.finish_reason or self._finish_reason

    async def read(
        self, request: LLMStructuredOutputRequest, provider: str
    ) -> Mapping[str, Any] | None:
        """Give the object, or None if the answer is nothing but tool calls."""
        text = "".join(self._texts)
        if self._calls_tools and not text.strip():
            return None
        try:
            return await asyncio.to_thread(
                read_answer,
                text,
                request.structured_output_schema,
                complete=self._finish_reason != _CUT_OFF,
            )
        except UnfitAnswerError as error:
            raise UnusableAnswerError(
                provider=provider, model=request.model, problem=error.problem
            ) from None
