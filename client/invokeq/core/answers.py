"""Turns events into what the caller gets: chunks one by one, or one result by Dify's rules."""

from collections.abc import Iterable

from pydantic import ValidationError

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResult,
    LLMResultChunk,
    LLMUsage,
)
from invokeq.protocol.errors import (
    InvocationCancelledError,
    InvokeqError,
    ProtocolError,
    error_from_wire,
)
from invokeq.protocol.events import Event, EventKind


def chunk_of(event: Event) -> LLMResultChunk | None:
    """Give the chunk that an event carries, None if it carries none; raises what ends a stream badly."""
    match event.kind:
        case EventKind.CHUNK:
            try:
                return LLMResultChunk.model_validate(event.data)
            except ValidationError as error:
                raise ProtocolError(where=f"event {event.id}", problem=str(error)) from None
        case EventKind.FAILED | EventKind.CANCELLED:
            raise error_of(event)
        case _:
            return None


def error_of(event: Event) -> InvokeqError:
    """Give the error that a `failed` or `cancelled` event stands for."""
    if event.kind is EventKind.CANCELLED:
        return InvocationCancelledError(
            attempt=event.id.attempt, reason=event.data.get("reason"), usage=event.data.get("usage")
        )
    return error_from_wire(event.data.get("error") or {})


def accumulate(model: str, chunks: Iterable[LLMResultChunk]) -> LLMResult:
    """Make one result of chunks the way Dify's SDK does it.

    Text contents are joined (lists are left out), the last tool calls that are not empty win, token
    counts are summed, prices, currency and latency are those of the last usage; `model` is the caller's.
    """
    message = AssistantPromptMessage(content="", tool_calls=[])
    usage = LLMUsage.empty_usage()
    texts: list[str] = []
    for chunk in chunks:
        delta = chunk.delta
        if isinstance(delta.message.content, str):
            texts.append(delta.message.content)
        if delta.message.tool_calls:
            message.tool_calls = delta.message.tool_calls
        if delta.usage is not None:
            _add_usage(usage, delta.usage)
    message.content = "".join(texts)
    return LLMResult(model=model, prompt_messages=[], message=message, usage=usage)


def accumulate_unnamed(chunks: Iterable[LLMResultChunk]) -> LLMResult:
    """As `accumulate`, for a reader that does not know what the caller asked for: the chunks' model."""
    taken = list(chunks)
    return accumulate(taken[0].model if taken else "", taken)


def _add_usage(total: LLMUsage, new: LLMUsage) -> None:
    total.prompt_tokens += new.prompt_tokens
    total.completion_tokens += new.completion_tokens
    total.total_tokens += new.total_tokens
    total.prompt_price = new.prompt_price
    total.completion_price = new.completion_price
    total.total_price = new.total_price
    total.currency = new.currency
    total.latency = new.latency
