"""Chunks of an LLM's answer; the code runs once a chunk, so cost matters here.

Most chunks add text alone and go straight into the stream. A TextChunk costs a tenth of an entity,
and becomes an entity on demand, for readers of more than the text. For other chunks, one
`model_validate` of a nested dict is the cheapest way measured: about 0.8 of nested constructors and
0.5 of `model_construct`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import orjson

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
    PromptMessageContentUnionTypes,
)

ChunkContent: TypeAlias = str | list[PromptMessageContentUnionTypes]


class TextChunk:
    """A chunk of `text` alone, with the attributes of an LLMResultChunk."""

    __slots__ = ("_entity", "index", "model", "system_fingerprint", "text")

    def __init__(
        self, model: str, index: int, text: str, system_fingerprint: str | None = None
    ) -> None:
        self.model: str = model
        self.index: int = index
        self.text: str = text
        self.system_fingerprint: str | None = system_fingerprint
        self._entity: LLMResultChunk | None = None

    @property
    def delta(self) -> LLMResultChunkDelta:
        return self.entity().delta

    def entity(self) -> LLMResultChunk:
        """Return the chunk as an entity, built once."""
        # Built on demand: most text chunks are written to the stream and never read as entities.
        if self._entity is None:
            self._entity = LLMResultChunk.model_validate(self._fields())
        return self._entity

    def json(self) -> bytes:
        """Return the JSON of the entity, without defaults."""
        # From a dict, not from the entity: the hot path of every streamed answer.
        return orjson.dumps(self._fields())

    def _fields(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "model": self.model,
            "delta": {"index": self.index, "message": {"content": self.text}},
        }
        if self.system_fingerprint is not None:
            fields["system_fingerprint"] = self.system_fingerprint
        return fields


LLMChunk: TypeAlias = LLMResultChunk | TextChunk
"""One chunk of an LLM's answer."""


def as_entity(chunk: LLMChunk) -> LLMResultChunk:
    """Return a chunk of either type as an entity."""
    return chunk.entity() if isinstance(chunk, TextChunk) else chunk


def last_chunk(
    model: str,
    index: int,
    *,
    usage: LLMUsage | None,
    finish_reason: str,
    text: ChunkContent = "",
    tool_calls: Sequence[AssistantPromptMessage.ToolCall] = (),
    system_fingerprint: str | None = None,
) -> LLMResultChunk:
    """Build the chunk that ends an answer, with the content and the tool calls that are left."""
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


def content_chunk(model: str, index: int, content: ChunkContent) -> LLMResultChunk:
    """Build a chunk that adds a list of content parts, such as a generated picture."""
    return LLMResultChunk.model_validate(
        {"model": model, "delta": {"index": index, "message": {"content": content}}}
    )


def tool_call_chunk(
    model: str,
    index: int,
    text: ChunkContent,
    tool_calls: Sequence[AssistantPromptMessage.ToolCall],
) -> LLMResultChunk:
    """Build a chunk of tool calls, or of fragments of tool calls, beside text."""
    message = {"content": text, "tool_calls": list(tool_calls)}
    return LLMResultChunk.model_validate(
        {"model": model, "delta": {"index": index, "message": message}}
    )
