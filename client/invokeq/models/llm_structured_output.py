"""`session.model.llm_structured_output`: Dify's signature and results, over the queue."""

from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from typing import Any, Literal, Unpack, overload

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import (
    LLMModelConfig,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.requests.llm import build_structured_request
from invokeq.results.decode import llm_structured_output_decoder


class LLMStructuredOutputCalls(Preparing):
    """Checks the arguments of calls for structured output."""

    def prepare(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Call[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_structured_request(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream
        )
        return self._call(request, options, llm_structured_output_decoder(request))


class LLMStructuredOutput(LLMStructuredOutputCalls, Calls):
    """Calls large language models for answers under a JSON schema."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
    ) -> Generator[LLMResultChunkWithStructuredOutput, None, None] | LLMResultWithStructuredOutput:
        """Call a model for JSON; the last chunk, or the result, has `structured_output`.

        Arguments are checked at once. With `stream=True` the request is sent on the first `next()`,
        and closing or dropping the generator cancels. Raises the errors of `invokeq.errors`.
        """
        # Not a generator function: a bad argument raises here, not on the first `next()`.
        call = self.prepare(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream, **extras
        )
        return self._stream(call) if stream else self._result(call)

    def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> Invocation[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
        """Enqueue now and return the handle; a known `request_id` attaches."""
        call = self.prepare(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream, **extras
        )
        return self._start(call)


class AsyncLLMStructuredOutput(LLMStructuredOutputCalls, AsyncCalls):
    """Calls large language models for answers under a JSON schema, on asyncio."""

    @overload
    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: Literal[True] = True,
        **extras: Unpack[CallExtras],
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
        **extras: Unpack[CallExtras],
    ) -> Coroutine[Any, Any, LLMResultWithStructuredOutput]: ...

    def invoke(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> (
        AsyncGenerator[LLMResultChunkWithStructuredOutput, None]
        | Coroutine[Any, Any, LLMResultWithStructuredOutput]
    ):
        """Call a model: `async for` over the chunks, or `await` the result with `stream=False`.

        Otherwise as `LLMStructuredOutput.invoke`.
        """
        # Not `async def`: `async for` must take the generator without an `await` in front.
        call = self.prepare(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream, **extras
        )
        return self._stream(call) if stream else self._result(call)

    async def submit(
        self,
        model_config: LLMModelConfig | Mapping[str, Any],
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: Mapping[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[LLMResultChunkWithStructuredOutput, LLMResultWithStructuredOutput]:
        """Enqueue now and return the handle; a known `request_id` attaches."""
        call = self.prepare(
            model_config, prompt_messages, structured_output_schema, tools, stop, stream, **extras
        )
        return await self._start(call)
