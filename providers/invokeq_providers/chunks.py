"""Builds chunks; kept apart because it runs once a chunk.

One `model_validate` of a nested dict is the cheapest way measured: about 0.8 of nested constructors
and 0.5 of `model_construct`.
"""

from collections.abc import Sequence

from invokeq.protocol.entities import AssistantPromptMessage, LLMResultChunk, LLMUsage


def text_chunk(
    model: str, index: int, text: str, system_fingerprint: str | None = None
) -> LLMResultChunk:
    """Build a chunk that adds `text`."""
    return LLMResultChunk.model_validate(
        {
            "model": model,
            "system_fingerprint": system_fingerprint,
            "delta": {"index": index, "message": {"content": text}},
        }
    )


def last_chunk(
    model: str,
    index: int,
    *,
    usage: LLMUsage | None,
    finish_reason: str,
    text: str = "",
    tool_calls: Sequence[AssistantPromptMessage.ToolCall] = (),
    system_fingerprint: str | None = None,
) -> LLMResultChunk:
    """Build the chunk that ends an answer, with whatever text and tool calls are left to say."""
    message = {"content": text, "tool_calls": list(tool_calls)}
    return LLMResultChunk.model_validate(
        {
            "model": model,
            "system_fingerprint": system_fingerprint,
            "delta": {
                "index": index,
                "message": message,
                "usage": usage,
                "finish_reason": finish_reason,
            },
        }
    )


def tool_call_chunk(
    model: str, index: int, text: str, tool_calls: Sequence[AssistantPromptMessage.ToolCall]
) -> LLMResultChunk:
    """Build a chunk that adds tool calls, or fragments of them, beside text."""
    message = {"content": text, "tool_calls": list(tool_calls)}
    return LLMResultChunk.model_validate(
        {"model": model, "delta": {"index": index, "message": message}}
    )
