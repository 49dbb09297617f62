"""Accumulate chunks into one structured result, by the rules of Dify's SDK."""

from collections.abc import Iterable, Mapping
from typing import Any

from invokeq.protocol.entities import (
    LLMResultChunk,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
)
from invokeq.results.accumulate import accumulate


def accumulate_structured(
    model: str, chunks: Iterable[LLMResultChunk]
) -> LLMResultWithStructuredOutput:
    """Accumulate as `accumulate`; the last non-empty structured output wins."""
    output: Mapping[str, Any] | None = None
    taken = list(chunks)
    for chunk in taken:
        if isinstance(chunk, LLMResultChunkWithStructuredOutput):
            output = chunk.structured_output or output
    result = accumulate(model, taken)
    return LLMResultWithStructuredOutput(
        model=result.model,
        prompt_messages=[],
        message=result.message,
        usage=result.usage,
        structured_output=output,
    )
