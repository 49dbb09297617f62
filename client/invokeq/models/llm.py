"""`session.model.llm`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from typing import Any, Literal, Unpack, overload

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import (
    LLMModelConfig,
    LLMResult,
    LLMResultChunk,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.requests.llm import build_llm_request
from invokeq.results.decode import llm_decoder


class LLMCalls(Preparing):
    """Checks the arguments of calls of large language models."""

    def prepare(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Call[LLMResultChunk, LLMResult]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_llm_request(model_config, prompt_messages, tools, stop, stream)
        return self._call(request, options, llm_decoder(request))


class LLM(LLMCalls, Calls):
    """Calls large language models."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
    ) -> LLMResult: ...

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Generator[LLMResultChunk, None, None] | LLMResult: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Generator[LLMResultChunk, None, None] | LLMResult:
        """Call a model; return a generator of chunks, or the whole result with `stream=False`.

        Arguments are checked at once. With `stream=True` the request is sent on the first `next()`,
        and closing or dropping the generator cancels. Raises the errors of `invokeq.errors`.
        """
        # Not a generator function: a bad argument raises here, not on the first `next()`.
        call = self.prepare(model_config, prompt_messages, tools, stop, stream, **extras)
        return self._stream(call) if stream else self._result(call)

    def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Invocation[LLMResultChunk, LLMResult]:
        """Enqueue now and return the handle; a known `request_id` attaches."""
        return self._start(
            self.prepare(model_config, prompt_messages, tools, stop, stream, **extras)
        )


class AsyncLLM(LLMCalls, AsyncCalls):
    """Calls large language models on asyncio."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
    ) -> Coroutine[Any, Any, LLMResult]: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> AsyncGenerator[LLMResultChunk, None] | Coroutine[Any, Any, LLMResult]:
        """Call a model: `async for` over the chunks, or `await` the result with `stream=False`.

        See `LLM.invoke`.
        """
        # Not `async def`: `async for` must take the generator without an `await` in front.
        call = self.prepare(model_config, prompt_messages, tools, stop, stream, **extras)
        return self._stream(call) if stream else self._result(call)

    async def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[LLMResultChunk, LLMResult]:
        """Enqueue now and return the handle; a known `request_id` attaches."""
        return await self._start(
            self.prepare(model_config, prompt_messages, tools, stop, stream, **extras)
        )
