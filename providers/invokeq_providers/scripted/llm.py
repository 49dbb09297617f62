"""LLM calls of the fake vendor.

With a rate, chunk n is due at start + delay + n / rate. Slow consumers do not move later chunks.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterator
from itertools import islice, repeat
from typing import Any, Final, cast

import orjson
from pydantic import TypeAdapter

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMUsage,
    PromptMessageContentUnionTypes,
    PromptMessageRole,
)
from invokeq.protocol.errors import InvalidParameterError
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.stop import StopFilter
from invokeq_providers.chunks import LLMChunk, TextChunk, content_chunk, last_chunk
from invokeq_providers.models.usage import usage_from_tokens
from invokeq_providers.scripted.instance import instance_of
from invokeq_providers.scripted.plan import Plan, planned_failure

_PARTS: Final = TypeAdapter(list[PromptMessageContentUnionTypes])
_DEFAULT_CHUNKS: Final = 10
_DEFAULT_CHUNK_SIZE: Final = 20
_BREATH: Final = 16  # chunks; without a rate, other tasks get a turn after so many


class ScriptedAnswer:
    """The answer to one LLM call."""

    def __init__(self, provider: str, call: LLMCall, plan: Plan) -> None:
        self._provider = provider
        self._call = call
        self._plan = plan

    async def chunks(self) -> AsyncGenerator[LLMChunk, None]:
        """Yield the planned chunks, the last with the finish reason and the usage.

        Raise the planned error, or InvalidParameterError for malformed `tool_calls`.
        """
        call, plan = self._call, self._plan
        started = time.perf_counter()
        pace = _Pace(plan)
        obeys = plan.hang_after is not None or plan.fail_after is not None
        tool_calls = self._tool_calls()
        # The vendor's part of stop words: real vendors cut the answer themselves.
        stop = StopFilter(call.stop)
        limit = call.parameters.get("max_tokens")
        index = 0
        reason = "stop"
        for part in _parts(plan):
            yield content_chunk(call.model, index, [part])
            index += 1
        # Tool calls come without text, in the last chunk alone.
        for piece in () if tool_calls else _pieces(call, plan):
            if index == limit:
                reason = "length"
                break
            await pace.until(index)
            if obeys:
                await self._obey(index)
            if text := stop.feed(piece):
                yield TextChunk(call.model, index, text)
                index += 1
            if stop.stopped:
                break
        await pace.until(index)
        await self._obey(index)
        yield last_chunk(
            call.model,
            index,
            text=stop.finish(),
            tool_calls=tool_calls,
            usage=_usage(call, index, time.perf_counter() - started) if plan.usage else None,
            finish_reason="tool_calls" if tool_calls else reason,
        )

    async def _obey(self, index: int) -> None:
        """Hang, or raise the planned error, where the plan has a fault at chunk `index`."""
        plan = self._plan
        if plan.hang_after is not None and index >= plan.hang_after:
            # A future without a result: only the cancellation of the task ends the wait.
            await asyncio.get_running_loop().create_future()
        if plan.fail_after is not None and index >= plan.fail_after:
            detail = f"as planned, after {index} chunks"
            raise planned_failure(
                plan, detail, provider=self._provider, model=self._call.model, chunks=index
            )

    def _tool_calls(self) -> list[AssistantPromptMessage.ToolCall]:
        """Return the planned tool calls, by default one call of the first tool.

        The list is empty without tools, and after the result of a tool.
        """
        call = self._call
        if not call.tools or call.prompt_messages[-1].role is PromptMessageRole.TOOL:
            return []
        return [
            AssistantPromptMessage.ToolCall(
                id=f"call_{i}",
                type="function",
                function=AssistantPromptMessage.ToolCall.ToolCallFunction(
                    name=str(item.get("name", call.tools[0].name)),
                    arguments=orjson.dumps(item.get("arguments", {})).decode(),
                ),
            )
            for i, item in enumerate(self._read_tool_calls(self._plan.tool_calls or "[{}]"))
        ]

    def _read_tool_calls(self, text: str) -> list[dict[str, Any]]:
        try:
            planned = orjson.loads(text)
        except orjson.JSONDecodeError:
            planned = None
        if isinstance(planned, list):
            items = cast(list[Any], planned)
            if all(isinstance(item, dict) for item in items):
                return items
        raise InvalidParameterError(
            provider=self._provider,
            model=self._call.model,
            field="completion_params.tool_calls",
            parameter="tool_calls",
            problem='must be JSON like [{"name": "search", "arguments": {}}]',
        )


class _Pace:
    """The clock of one answer: due times are absolute, so delays do not add up."""

    def __init__(self, plan: Plan) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time() + plan.first_chunk_delay
        self._interval = 1.0 / plan.rate if plan.rate else 0.0

    async def until(self, index: int) -> None:
        wait = self._start + index * self._interval - self._loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        elif index % _BREATH == 0:
            # Late or without a rate: a loop without any await would starve the other tasks.
            await asyncio.sleep(0)


def _pieces(call: LLMCall, plan: Plan) -> Iterator[str]:
    """Yield the texts of the chunks: words, or pieces of `chunk_size` characters."""
    if call.model == "stream" and plan.text is None:
        count = _DEFAULT_CHUNKS if plan.chunks is None else plan.chunks
        return repeat("." * (plan.chunk_size or _DEFAULT_CHUNK_SIZE), count)
    text = _text(call) if plan.text is None else plan.text
    size = plan.chunk_size
    words = (
        (match[0] for match in re.finditer(r"\s*\S+\s*", text))
        if size is None
        else (text[at : at + size] for at in range(0, len(text), size))
    )
    return islice(words, plan.chunks)


def _parts(plan: Plan) -> list[PromptMessageContentUnionTypes]:
    return [] if plan.parts is None else _PARTS.validate_json(plan.parts)


def _text(call: LLMCall) -> str:
    """Return JSON for the call's schema, else the text of the last user or tool message."""
    schema = call.parameters.get("json_schema")
    if schema is not None:
        return orjson.dumps(instance_of(orjson.loads(schema)["schema"])).decode()
    said = (PromptMessageRole.USER, PromptMessageRole.TOOL)
    messages = [message for message in call.prompt_messages if message.role in said]
    return messages[-1].get_text_content() if messages else ""


def _usage(call: LLMCall, chunks: int, latency: float) -> LLMUsage:
    """Return the usage: a word of the prompt is a token, and so is a chunk of the answer."""
    words = sum(len(message.get_text_content().split()) for message in call.prompt_messages)
    return usage_from_tokens(call.facts, words, chunks, latency)
