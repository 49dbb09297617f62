"""Accumulate chunks into one LLM result, by the rules of Dify's SDK."""

from collections.abc import Iterable

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResult,
    LLMResultChunk,
    LLMUsage,
)


def accumulate(model: str, chunks: Iterable[LLMResultChunk]) -> LLMResult:
    """Return one result of all chunks, under the caller's name of the model.

    Text contents are joined (lists are left out), the last tool calls that are not empty win, token
    counts are summed. Prices, currency and latency are those of the last usage.
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


def _add_usage(total: LLMUsage, new: LLMUsage) -> None:
    total.prompt_tokens += new.prompt_tokens
    total.completion_tokens += new.completion_tokens
    total.total_tokens += new.total_tokens
    total.prompt_price = new.prompt_price
    total.completion_price = new.completion_price
    total.total_price = new.total_price
    total.currency = new.currency
    total.latency = new.latency
