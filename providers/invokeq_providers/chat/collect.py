"""Merging of an answer's chunks into one, for callers without a stream."""

import secrets
from collections.abc import Callable, Iterable, Sequence

from invokeq.protocol.contents import Content, join_contents
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
)
from invokeq.protocol.errors import InternalError
from invokeq_providers.chunks import LLMChunk

ToolCall = AssistantPromptMessage.ToolCall


def new_tool_call_id() -> str:
    """Return an id for a tool call without an id from the vendor."""
    return f"chatcmpl-tool-{secrets.token_hex(16)}"


def collect(
    chunks: Iterable[LLMChunk], new_id: Callable[[], str] = new_tool_call_id
) -> LLMResultChunk:
    """Merge all chunks of an answer into one with index 0 and an empty finish reason.

    Text is joined; once a chunk has content parts, the result is a list of parts. Fragments of tool
    calls are merged. Of usage, fingerprint and opaque body the last one counts. Raises
    `InternalError` without chunks.
    """
    contents: list[Content] = []
    calls: list[ToolCall] = []
    usage: LLMUsage | None = None
    fingerprint: str | None = None
    model = opaque_body = None
    for chunk in chunks:
        message = chunk.delta.message
        contents.append(message.content)
        merge_tool_calls(calls, message.tool_calls, new_id)
        model = chunk.model
        usage = chunk.delta.usage or usage
        fingerprint = chunk.system_fingerprint or fingerprint
        if message.opaque_body is not None:
            opaque_body = message.opaque_body
    if model is None:
        raise InternalError(detail="the provider ended without a single chunk")
    message = AssistantPromptMessage(
        content=join_contents(contents), tool_calls=calls, opaque_body=opaque_body
    )
    delta = LLMResultChunkDelta(
        index=0, message=message, usage=usage or LLMUsage.empty_usage(), finish_reason=""
    )
    return LLMResultChunk(model=model, system_fingerprint=fingerprint, delta=delta)


def merge_tool_calls(
    calls: list[ToolCall],
    fragments: Sequence[ToolCall],
    new_id: Callable[[], str] = new_tool_call_id,
) -> None:
    """Add fragments to the calls in progress.

    A fragment with an id belongs to the call of the same id. A fragment without id or name
    continues the last call. A fragment with a name, but without an id, starts a call with a new id.
    """
    for fragment in fragments:
        target = _target(calls, fragment, new_id)
        target.type = fragment.type or target.type
        target.function.name = fragment.function.name or target.function.name
        target.function.arguments += fragment.function.arguments


def _target(calls: list[ToolCall], fragment: ToolCall, new_id: Callable[[], str]) -> ToolCall:
    if fragment.id:
        for call in calls:
            if call.id == fragment.id:
                return call
    elif calls and not fragment.function.name:
        return calls[-1]
    function = ToolCall.ToolCallFunction(name="", arguments="")
    call = ToolCall(id=fragment.id or new_id(), type="function", function=function)
    calls.append(call)
    return call
