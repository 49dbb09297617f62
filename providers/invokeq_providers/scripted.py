"""A fake vendor for tests and measurements: it does what its plan says, at the pace it says.

The plan comes from the options of the provider, and each call may override it through its model
parameters. At a rate, chunk n is due at start + delay + n / rate, however long its consumers took
over the chunks before. What happens to calls is noted in a journal, so that a test can see that
closing a stream reached its source.
"""

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice, repeat
from typing import Any, ClassVar, Final, Literal, cast

import orjson
from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, PositiveInt

from invokeq.protocol.entities import (
    AIModelEntity,
    AssistantPromptMessage,
    LLMResultChunk,
    LLMUsage,
    ModelType,
    PromptMessageRole,
)
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidParameterError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.chunks import last_chunk, text_chunk
from invokeq_providers.facts import ModelFacts, shipped_facts
from invokeq_providers.options import ProviderOptions, parse_options
from invokeq_providers.stop import StopFilter
from invokeq_providers.usage import usage_from_tokens

JOURNAL_SIZE: Final = 100_000  # events; a long measurement forgets its oldest
_DEFAULT_CHUNKS: Final = 10
_DEFAULT_CHUNK_SIZE: Final = 20
_BREATH: Final = 16  # without a rate, other tasks get their turn after this many chunks

FailWith = Literal["rate_limit", "server_error", "connection", "bad_request", "auth", "internal"]


class Plan(BaseModel):
    """What the fake vendor does; counts are of chunks, times in seconds, `rate` is a second.

    A rate of 0 is as fast as possible. `fail_after` and `hang_after` 0 act before the first chunk.
    """

    text: str | None = None
    chunks: NonNegativeInt | None = None
    chunk_size: PositiveInt | None = None
    rate: NonNegativeFloat = 0.0
    first_chunk_delay: NonNegativeFloat = 0.0
    tool_calls: str | None = None
    usage: bool = True
    fail_after: NonNegativeInt | None = None
    fail_with: FailWith = "server_error"
    retry_after: NonNegativeFloat | None = None
    hang_after: NonNegativeInt | None = None


class ScriptedOptions(ProviderOptions, Plan):
    """`journal_file` gets a line `<request id> <event>` an event, for tests in another process."""

    journal_file: str | None = None


class ScriptedProvider(Provider):
    """Provider of the type `scripted`.

    `journal` holds (request id, event) of all instances of the process. Events are `started`,
    `tools:<names>`, and one of `finished`, `failed` and `closed`: the last means that the consumer
    left before the end.
    """

    model_types: ClassVar[frozenset[ModelType]] = frozenset({ModelType.LLM})
    journal: ClassVar[deque[tuple[str, str]]] = deque(maxlen=JOURNAL_SIZE)

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._options = parse_options(ScriptedOptions, name, options)
        self._facts = ModelFacts(name, shipped_facts("scripted"), self._options.models)
        self._journal_file: int | None = None

    @classmethod
    def events(cls, request_id: str) -> list[str]:
        """Give what the journal knows of one call, oldest first."""
        return [event for noted, event in cls.journal if noted == request_id]

    def models(self) -> Sequence[AIModelEntity]:
        return self._facts.models()

    async def start(self) -> None:
        if self._options.journal_file is not None and self._journal_file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._journal_file = os.open(self._options.journal_file, flags, 0o600)

    async def close(self) -> None:
        file, self._journal_file = self._journal_file, None
        if file is not None:
            os.close(file)

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMResultChunk, None]:
        plan = self._plan(call)
        await self.start()
        self._note(call, "started")
        if call.tools:
            self._note(call, f"tools:{','.join(tool.name for tool in call.tools)}")
        end = "closed"
        try:
            async with aclosing(self._answer(call, plan)) as chunks:
                async for chunk in chunks:
                    yield chunk
            end = "finished"
        except Exception:
            end = "failed"
            raise
        finally:
            self._note(call, end)

    def _plan(self, call: LLMCall) -> Plan:
        given = {k: v for k, v in call.parameters.items() if k in Plan.model_fields}
        return self._options.model_copy(update=given) if given else self._options

    async def _answer(self, call: LLMCall, plan: Plan) -> AsyncGenerator[LLMResultChunk, None]:
        started = time.perf_counter()
        pace = _Pace(plan)
        tool_calls = self._tool_calls(call, plan)
        stop = StopFilter(call.stop)
        limit = call.parameters.get("max_tokens")
        index = 0
        reason = "stop"
        for piece in () if tool_calls else _pieces(call, plan):
            if index == limit:
                reason = "length"
                break
            await pace.until(index)
            await self._obey(call, plan, index)
            if text := stop.feed(piece):
                yield text_chunk(call.model, index, text)
                index += 1
            if stop.stopped:
                break
        await pace.until(index)
        await self._obey(call, plan, index)
        yield last_chunk(
            call.model,
            index,
            text=stop.finish(),
            tool_calls=tool_calls,
            usage=_usage(call, index, time.perf_counter() - started) if plan.usage else None,
            finish_reason="tool_calls" if tool_calls else reason,
        )

    async def _obey(self, call: LLMCall, plan: Plan, index: int) -> None:
        """Fail or hang, if the plan says so for this place."""
        if plan.hang_after is not None and index >= plan.hang_after:
            await asyncio.get_running_loop().create_future()
        if plan.fail_after is not None and index >= plan.fail_after:
            raise self._failure(call, plan, index)

    def _failure(self, call: LLMCall, plan: Plan, index: int) -> Exception:
        where: dict[str, Any] = {"provider": self.name, "model": call.model}
        detail = f"as planned, after {index} chunks"
        match plan.fail_with:
            case "rate_limit":
                return RateLimitedError(detail=detail, retry_after=plan.retry_after, **where)
            case "server_error" | "connection":
                what = "HTTP 500" if plan.fail_with == "server_error" else "the connection broke"
                return ProviderUnavailableError(
                    detail=f"{what}, {detail}", chunks=index, retry_after=plan.retry_after, **where
                )
            case "bad_request":
                return RejectedByProviderError(status=400, detail=detail, **where)
            case "auth":
                return CredentialsError(problem="the vendor refused them, as planned", **where)
            case "internal":
                return ValueError(f"a bug, {detail}")

    def _tool_calls(self, call: LLMCall, plan: Plan) -> list[AssistantPromptMessage.ToolCall]:
        """Give the calls of the plan, or one of the first tool; none once a tool has answered."""
        if not call.tools or call.prompt_messages[-1].role is PromptMessageRole.TOOL:
            return []
        planned = self._read_tool_calls(call, plan.tool_calls or "[{}]")
        return [
            AssistantPromptMessage.ToolCall(
                id=f"call_{i}",
                type="function",
                function=AssistantPromptMessage.ToolCall.ToolCallFunction(
                    name=str(item.get("name", call.tools[0].name)),
                    arguments=orjson.dumps(item.get("arguments", {})).decode(),
                ),
            )
            for i, item in enumerate(planned)
        ]

    def _read_tool_calls(self, call: LLMCall, text: str) -> list[dict[str, Any]]:
        try:
            planned = orjson.loads(text)
        except orjson.JSONDecodeError:
            planned = None
        if isinstance(planned, list):
            items = cast(list[Any], planned)
            if all(isinstance(item, dict) for item in items):
                return items
        raise InvalidParameterError(
            provider=self.name,
            model=call.model,
            field="completion_params.tool_calls",
            parameter="tool_calls",
            problem='must be JSON like [{"name": "search", "arguments": {}}]',
        )

    def _note(self, call: LLMCall, event: str) -> None:
        self.journal.append((call.request_id, event))
        if self._journal_file is not None:
            os.write(self._journal_file, f"{call.request_id} {event}\n".encode())


class _Pace:
    """Waits until chunk n is due, by the absolute time of the loop, so that no delay adds up."""

    def __init__(self, plan: Plan) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time() + plan.first_chunk_delay
        self._interval = 1.0 / plan.rate if plan.rate else 0.0

    async def until(self, index: int) -> None:
        wait = self._start + index * self._interval - self._loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        elif index % _BREATH == 0:
            await asyncio.sleep(0)


def _pieces(call: LLMCall, plan: Plan) -> Iterator[str]:
    """Cut the text of an answer into the texts of its chunks."""
    if call.model == "stream" and plan.text is None:
        count = _DEFAULT_CHUNKS if plan.chunks is None else plan.chunks
        return repeat("." * (plan.chunk_size or _DEFAULT_CHUNK_SIZE), count)
    text = _last_text(call) if plan.text is None else plan.text
    size = plan.chunk_size
    words = (
        (match[0] for match in re.finditer(r"\s*\S+\s*", text))
        if size is None
        else (text[at : at + size] for at in range(0, len(text), size))
    )
    return islice(words, plan.chunks)


def _last_text(call: LLMCall) -> str:
    said = (PromptMessageRole.USER, PromptMessageRole.TOOL)
    messages = [message for message in call.prompt_messages if message.role in said]
    return messages[-1].get_text_content() if messages else ""


def _usage(call: LLMCall, chunks: int, latency: float) -> LLMUsage:
    """Count a word of the prompt, and a chunk of the answer, as a token."""
    words = sum(len(message.get_text_content().split()) for message in call.prompt_messages)
    return usage_from_tokens(call.facts, words, chunks, latency)
