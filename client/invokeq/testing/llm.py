"""Answers of fake large language models, and the chunks made of an answer."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from invokeq.protocol.contents import Content, join_contents
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
    LLMUsage,
)
from invokeq.protocol.errors import InvokeqError, UnusableAnswerError
from invokeq.protocol.events import EventKind
from invokeq.protocol.requests import LLMRequest, LLMStructuredOutputRequest
from invokeq.testing.script import FakeEvent, FakeKind, Output, is_series, pieces_of

LLMPiece: TypeAlias = str | AssistantPromptMessage | LLMResultChunk | InvokeqError
"""A piece of an answer: text, a message (for tool calls), a whole chunk, or an error."""

LLMAnswer: TypeAlias = LLMPiece | Iterable[LLMPiece]
"""The answer to one call: a text streams word by word, any other piece is one chunk."""

StructuredPiece: TypeAlias = (
    str | AssistantPromptMessage | LLMResultChunkWithStructuredOutput | InvokeqError
)

StructuredAnswer: TypeAlias = Mapping[str, Any] | StructuredPiece | Iterable[StructuredPiece]
"""The answer to one call: the object, or the text of the model, whole or piece by piece."""

ToolCall = AssistantPromptMessage.ToolCall

_Request: TypeAlias = LLMRequest | LLMStructuredOutputRequest

_WHOLE: Final = (str, AssistantPromptMessage, LLMResultChunk)
_OBJECTS: Final = (Mapping, str, AssistantPromptMessage, LLMResultChunkWithStructuredOutput)


def _llm_entries(request: LLMRequest, answer: LLMAnswer) -> Iterator[Output]:
    parts = _parts(request, _pieces(answer), LLM)
    return _entries(parts if request.stream else iter([_merged(request, parts)]))


def _structured_entries(
    request: LLMStructuredOutputRequest, answer: StructuredAnswer
) -> Iterator[Output]:
    pieces = _pieces(json.dumps(answer) if isinstance(answer, Mapping) else answer)
    parts = _with_output(request, _parts(request, pieces, STRUCTURED))
    return _entries(parts if request.stream else iter([_merged(request, parts)]))


LLM: Final[FakeKind[LLMRequest, LLMAnswer]] = FakeKind(
    "llm",
    "a text, an AssistantPromptMessage, an LLMResultChunk, a list of these",
    lambda value: isinstance(value, _WHOLE) or is_series(value),
    _llm_entries,
)
STRUCTURED: Final[FakeKind[LLMStructuredOutputRequest, StructuredAnswer]] = FakeKind(
    "llm_structured_output",
    "a dict, the text of one, an AssistantPromptMessage, an LLMResultChunkWithStructuredOutput,"
    " a list of all but dicts",
    lambda value: isinstance(value, _OBJECTS) or is_series(value),
    _structured_entries,
)


def _pieces(answer: Any) -> Iterator[Any]:
    if isinstance(answer, str):
        # Words keep the spaces behind them, so that the joined chunks are the text unchanged.
        yield from cast(list[str], re.findall(r"\S+\s*|\s+", answer))
    elif isinstance(answer, _WHOLE):
        yield answer
    else:
        yield from pieces_of(answer)


def _entries(chunks: Iterator[LLMResultChunk | InvokeqError]) -> Iterator[Output]:
    for chunk in chunks:
        if isinstance(chunk, InvokeqError):
            yield chunk
        else:
            data = chunk.model_dump_json().encode()
            yield FakeEvent(EventKind.CHUNK, data, usage=chunk.delta.usage)


def _parts(
    request: _Request, pieces: Iterable[Any], kind: FakeKind[Any, Any]
) -> Iterator[LLMResultChunk | InvokeqError]:
    """Turn pieces into chunks; an error ends the chunks.

    Adds a last chunk with usage and finish reason, unless the answer has whole chunks: then nothing
    is added.
    """
    index, whole, finish_reason = 0, False, "stop"
    for item in pieces:
        match item:
            case InvokeqError():
                yield item
                return
            case LLMResultChunk():
                whole = True
                yield item
            case AssistantPromptMessage():
                finish_reason = "tool_calls" if item.tool_calls else finish_reason
                yield _chunk(request, index, item)
            case str():
                yield _chunk(request, index, AssistantPromptMessage(content=item))
            case _:
                raise kind.refusal(item)
        index += 1
    if not whole:
        last = _chunk(request, index, AssistantPromptMessage(content=""))
        last.delta.usage = _usage(request, index)
        last.delta.finish_reason = finish_reason
        yield last


def _with_output(
    request: _Request, parts: Iterator[LLMResultChunk | InvokeqError]
) -> Iterator[LLMResultChunk | InvokeqError]:
    """Pass chunks on, then add a chunk with the object parsed from all text.

    Adds no chunk if a chunk had the object already, or if the answer is tool calls alone.
    """
    texts: list[str] = []
    brought = calls = False
    for part in parts:
        yield part
        if isinstance(part, InvokeqError):
            return
        message = part.delta.message
        texts.append(message.get_text_content())
        calls = calls or bool(message.tool_calls)
        brought = brought or bool(getattr(part, "structured_output", None))
    text = "".join(texts)
    if not brought and (text.strip() or not calls):
        yield _output_chunk(request, text)


def _output_chunk(request: _Request, text: str) -> LLMResultChunk | InvokeqError:
    try:
        output = json.loads(text)
    except ValueError:
        output = None
    if not isinstance(output, dict):
        return UnusableAnswerError(
            provider=request.provider, model=request.model, problem="it is no JSON object"
        )
    last = _chunk(request, 0, AssistantPromptMessage(content=""))
    return _with_object(last, cast(dict[str, Any], output))


def _with_object(chunk: LLMResultChunk, output: Mapping[str, Any] | None) -> LLMResultChunk:
    return LLMResultChunkWithStructuredOutput(
        model=chunk.model, delta=chunk.delta, structured_output=output
    )


def _merged(
    request: _Request, parts: Iterable[LLMResultChunk | InvokeqError]
) -> LLMResultChunk | InvokeqError:
    """Return the single chunk of a call without a stream, as sent by a worker."""
    usage, contents, calls = LLMUsage.empty_usage(), list[Content](), list[ToolCall]()
    output: Mapping[str, Any] | None = None
    for part in parts:
        if isinstance(part, InvokeqError):
            return part
        contents.append(part.delta.message.content)
        _merge_calls(calls, part.delta.message.tool_calls)
        usage = part.delta.usage or usage
        output = getattr(part, "structured_output", None) or output
    message = AssistantPromptMessage(content=join_contents(contents), tool_calls=calls)
    chunk = _chunk(request, 0, message)
    chunk.delta.usage = usage
    return chunk if output is None else _with_object(chunk, output)


def _merge_calls(calls: list[ToolCall], fragments: Iterable[ToolCall]) -> None:
    """Add fragments; a fragment without an id, or with the last call's id, continues the call."""
    for fragment in fragments:
        if calls and fragment.id in ("", calls[-1].id):
            calls[-1].function.arguments += fragment.function.arguments
        else:
            calls.append(fragment.model_copy(deep=True))


def _chunk(request: _Request, index: int, message: AssistantPromptMessage) -> LLMResultChunk:
    delta = LLMResultChunkDelta(index=index, message=message)
    if isinstance(request, LLMStructuredOutputRequest):
        return LLMResultChunkWithStructuredOutput(model=request.model, delta=delta)
    return LLMResultChunk(model=request.model, delta=delta)


def _usage(request: _Request, chunks: int) -> LLMUsage:
    """Count each word of the prompt, and each chunk of the answer, as a token, free of charge."""
    prompt = sum(len(m.get_text_content().split()) for m in request.prompt_messages)
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": chunks,
        "total_tokens": prompt + chunks,
    }
    return LLMUsage.empty_usage().model_copy(update=counts)
