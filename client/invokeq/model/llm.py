"""`session.model.llm`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, overload

from invokeq.async_invocation import AsyncInvocation
from invokeq.connection import AsyncBroker, Broker
from invokeq.core.answers import accumulate, chunk_of
from invokeq.core.directory import Directory
from invokeq.core.enqueue import submit
from invokeq.core.llm import build_llm_request
from invokeq.core.options import CallOptions, SessionOptions, call_options
from invokeq.core.reading import submitted_reader
from invokeq.invocation import Invocation
from invokeq.protocol.entities import (
    LLMModelConfig,
    LLMResult,
    LLMResultChunk,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.protocol.requests import LLMRequest, Priority


class LLM:
    """Calls large language models."""

    def __init__(self, broker: Broker, directory: Directory, options: SessionOptions) -> None:
        self._broker = broker
        self._directory = directory
        self._options = options

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[LLMResultChunk, None, None]: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        *,
        stream: Literal[False],
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> LLMResult: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[LLMResultChunk, None, None] | LLMResult: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[LLMResultChunk, None, None] | LLMResult:
        """Ask a model; a generator of chunks, or the whole result with `stream=False`.

        Arguments are checked at once; with `stream=True` nothing is sent before the first `next()`, and
        closing or dropping the generator cancels. `deadline` is seconds from now or an aware datetime.
        Raises the errors of `invokeq.errors`.
        """
        request = build_llm_request(model_config, prompt_messages, tools, stop, stream)
        call = call_options(request_id, deadline, priority, detached)
        if stream:
            return self._stream(request, call)
        with self._submit(request, call) as invocation:
            return invocation.result()

    def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[LLMResultChunk, LLMResult]:
        """Enqueue now and give the handle. With a `request_id` that is known already, attach to it."""
        request = build_llm_request(model_config, prompt_messages, tools, stop, stream)
        return self._submit(request, call_options(request_id, deadline, priority, detached))

    def _stream(
        self, request: LLMRequest, call: CallOptions
    ) -> Generator[LLMResultChunk, None, None]:
        with self._submit(request, call) as invocation:
            yield from invocation

    def _submit(
        self, request: LLMRequest, call: CallOptions
    ) -> Invocation[LLMResultChunk, LLMResult]:
        submitted = self._broker.run(submit(self._options, self._directory, request, call))
        return Invocation(
            self._broker,
            submitted_reader(self._options, submitted, call),
            chunk_of,
            partial(accumulate, request.model),
            detached=call.detached,
        )


class AsyncLLM:
    """Calls large language models on asyncio."""

    def __init__(self, broker: AsyncBroker, directory: Directory, options: SessionOptions) -> None:
        self._broker = broker
        self._directory = directory
        self._options = options

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncGenerator[LLMResultChunk, None]: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        *,
        stream: Literal[False],
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Coroutine[Any, Any, LLMResult]: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncGenerator[LLMResultChunk, None] | Coroutine[Any, Any, LLMResult]:
        """Ask a model: `async for` over the chunks, or `await` the result with `stream=False`.

        Otherwise as `LLM.invoke`.
        """
        request = build_llm_request(model_config, prompt_messages, tools, stop, stream)
        call = call_options(request_id, deadline, priority, detached)
        return self._stream(request, call) if stream else self._result(request, call)

    async def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[LLMResultChunk, LLMResult]:
        """Enqueue now and give the handle. With a `request_id` that is known already, attach to it."""
        request = build_llm_request(model_config, prompt_messages, tools, stop, stream)
        return await self._submit(request, call_options(request_id, deadline, priority, detached))

    async def _stream(
        self, request: LLMRequest, call: CallOptions
    ) -> AsyncGenerator[LLMResultChunk, None]:
        async with await self._submit(request, call) as invocation:
            async for chunk in invocation:
                yield chunk

    async def _result(self, request: LLMRequest, call: CallOptions) -> LLMResult:
        async with await self._submit(request, call) as invocation:
            return await invocation.result()

    async def _submit(
        self, request: LLMRequest, call: CallOptions
    ) -> AsyncInvocation[LLMResultChunk, LLMResult]:
        submitted = await self._broker.run(submit(self._options, self._directory, request, call))
        return AsyncInvocation(
            self._broker,
            submitted_reader(self._options, submitted, call),
            chunk_of,
            partial(accumulate, request.model),
            detached=call.detached,
        )
