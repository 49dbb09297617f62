"""Accumulate chunks into one LLM result, by the rules of Dify's SDK but without a loss of parts.

The SDK leaves lists of content parts out of the result: a generated picture would be lost, together
with the text of the same chunk.
"""

from collections.abc import Iterable

from invokeq.protocol.contents import Content, join_contents
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResult,
    LLMResultChunk,
    LLMUsage,
)


def accumulate(model: str, chunks: Iterable[LLMResultChunk]) -> LLMResult:
    """Return one result of all chunks, under the caller's name of the model.

    Contents are joined: the result is a text, or a list of parts once a chunk has another part than
    text. The last non-empty tool calls win, as does the last opaque body. Token counts are summed.
    Prices, currency and latency come from the last usage.
    """
    message = AssistantPromptMessage(content="", tool_calls=[])
    usage = LLMUsage.empty_usage()
    contents: list[Content] = []
    for chunk in chunks:
        delta = chunk.delta
        contents.append(delta.message.content)
        if delta.message.opaque_body is not None:
            message.opaque_body = delta.message.opaque_body
        if delta.message.tool_calls:
            message.tool_calls = delta.message.tool_calls
        if delta.usage is not None:
            _add_usage(usage, delta.usage)
    message.content = join_contents(contents)
    return LLMResult(model=model, prompt_messages=[], message=message, usage=usage)


def _add_usage(total: LLMUsage, new: LLMUsage) -> None:
    # Sums for counts, but the last value for money and time: as in Dify's SDK.
    total.prompt_tokens += new.prompt_tokens
    total.completion_tokens += new.completion_tokens
    total.total_tokens += new.total_tokens
    total.prompt_price = new.prompt_price
    total.completion_price = new.completion_price
    total.total_price = new.total_price
    total.currency = new.currency
    total.latency = new.latency
