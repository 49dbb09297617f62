"""`session.model.llm_structured_output`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, overload

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import Shape, structured_shape
from invokeq.core.enqueue import Prepared
from invokeq.core.llm import build_structured_request
from invokeq.core.options import CallOptions, call_options
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import (
    LLMModelConfig,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.protocol.requests import Priority


class LLMStructuredOutput(Calls):
    """Calls large language models for answers that follow a JSON schema."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[LLMResultChunkWithStructuredOutput, None, None]: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        *,
        stream: Literal[False],
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> LLMResultWithStructuredOutput: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> (
        Generator[LLMResultChunkWithStructuredOutput, None, None] | LLMResultWithStructuredOutput
    ): ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Generator[LLMResultChunkWithStructuredOutput, None, None] | LLMResultWithStructuredOutput:
        """Ask a model for JSON; the last chunk, or the result, has `structured_output`.

        Arguments are checked at once; with `stream=True` nothing is sent before the first `next()`,
        and closing or dropping the generator cancels. `deadline` is seconds from now or an aware
        datetime. Raises the errors of `invokeq.errors`.
        """
        request = build_structured_request(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream
        )
        prepared, shape = self._prepare(request), structured_shape(request.model)
        call = call_options(request_id, deadline, priority, detached)
        if stream:
            return self._stream(prepared, call, shape)
        return self._result(prepared, call, shape)

    def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
        """Enqueue now and give the handle. With a `request_id` that is known already, attach to
        it."""
        request = build_structured_request(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream
        )
        prepared, shape = self._prepare(request), structured_shape(request.model)
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, shape)

    def _stream(
        self,
        prepared: Prepared,
        call: CallOptions,
        shape: Shape[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput],
    ) -> Generator[LLMResultChunkWithStructuredOutput, None, None]:
        with self._start(prepared, call, shape) as invocation:
            yield from invocation


class AsyncLLMStructuredOutput(AsyncCalls):
    """Calls large language models for answers that follow a JSON schema, on asyncio."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncGenerator[LLMResultChunkWithStructuredOutput, None]: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        *,
        stream: Literal[False],
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Coroutine[Any, Any, LLMResultWithStructuredOutput]: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> (
        AsyncGenerator[LLMResultChunkWithStructuredOutput, None]
        | Coroutine[Any, Any, LLMResultWithStructuredOutput]
    ):
        """Ask a model: `async for` over the chunks, or `await` the result with `stream=False`.

        Otherwise as `LLMStructuredOutput.invoke`.
        """
        request = build_structured_request(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream
        )
        prepared, shape = self._prepare(request), structured_shape(request.model)
        call = call_options(request_id, deadline, priority, detached)
        return (
            self._stream(prepared, call, shape) if stream else self._result(prepared, call, shape)
        )

    async def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
        """Enqueue now and give the handle. With a `request_id` that is known already, attach to
        it."""
        request = build_structured_request(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream
        )
        prepared, shape = self._prepare(request), structured_shape(request.model)
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, shape)

    async def _stream(
        self,
        prepared: Prepared,
        call: CallOptions,
        shape: Shape[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput],
    ) -> AsyncGenerator[LLMResultChunkWithStructuredOutput, None]:
        async with await self._start(prepared, call, shape) as invocation:
            async for chunk in invocation:
                yield chunk
