"""Dify's SDK reads our answers to reverse invocations, in every kind of call.

The SDK runs in a process of its own, as in `test_dify_entities.py`. For example, the SDK refuses a
chunk with null `tool_calls`.
"""

import json
from contextlib import aclosing
from typing import Any

import pytest

from invokeq.backwards import SERVED, serve
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    ImagePromptMessageContent,
    LLMResultChunk,
    LLMResultChunkDelta,
    TextPromptMessageContent,
)
from invokeq.testing import FakeAsyncSession
from tests.contract import test_dify_entities
from tests.contract.test_dify_entities import DifySide
from tests.support.content_parts import PARTS

dify = test_dify_entities.dify

MODEL = {"provider": "acme", "model": "m"}
HELLO = [{"role": "user", "content": "hi"}]
MP3 = b"\xff\xfb\x10\xc4" + bytes(100)
CONTENT = {"content": "aGk=", "content_type": "image"}
PICTURE = ImagePromptMessageContent(format="png", mime_type="image/png", base64_data="aGk=")
CALL = AssistantPromptMessage.ToolCall(
    id="1",
    type="function",
    function=AssistantPromptMessage.ToolCall.ToolCallFunction(name="f", arguments="{}"),
)


def chunk(message: AssistantPromptMessage) -> LLMResultChunk:
    return LLMResultChunk(model="m", delta=LLMResultChunkDelta(index=0, message=message))


CHUNKS = [
    chunk(AssistantPromptMessage(content="text")),
    chunk(AssistantPromptMessage(content=None)),
    chunk(AssistantPromptMessage(content=[TextPromptMessageContent(data="a"), PICTURE])),
    chunk(AssistantPromptMessage.model_validate({"content": list(PARTS.values())})),
    chunk(AssistantPromptMessage(content="", tool_calls=[CALL])),
]

EMBEDDING = {"texts": ["a"], "input_type": "query"}
CASES: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
    "llm": ("LLMResultChunk", "llm", CHUNKS, {"prompt_messages": HELLO}),
    "llm_structured_output": (
        "LLMResultChunkWithStructuredOutput",
        "llm_structured_output",
        {"a": 1},
        {"prompt_messages": HELLO, "structured_output_schema": {"type": "object"}},
    ),
    "system_summary": ("SummaryResult", "summary", "brief", {"text": "a", "instruction": ""}),
    "text_embedding": ("TextEmbeddingResult", "text_embedding", [[0.5, 1.0]], EMBEDDING),
    "multimodal_embedding": (
        "MultiModalEmbeddingResult",
        "text_embedding",
        [[0.5, 1.0]],
        {"documents": [CONTENT]},
    ),
    "rerank": ("RerankResult", "rerank", [0.5], {"docs": ["a"], "query": "q"}),
    "multimodal_rerank": (
        "MultiModalRerankResult",
        "rerank",
        [0.5],
        {"docs": [CONTENT], "query": CONTENT},
    ),
    "tts": ("TTSResult", "tts", [MP3, MP3], {"voice": "v", "content_text": "a"}),
    "speech2text": ("Speech2TextResult", "speech2text", "words", {"file": MP3.hex()}),
    "moderation": ("ModerationResult", "moderation", True, {"text": "a"}),
}


def test_every_kind_is_looked_at() -> None:
    assert set(CASES) == set(SERVED)


@pytest.mark.parametrize("kind", SERVED)
async def test_the_sdk_reads_every_object(dify: DifySide, kind: str) -> None:
    entity, attribute, answer, payload = CASES[kind]
    session = FakeAsyncSession("acme")
    getattr(session.model, attribute).answers(answer)
    async with aclosing(serve(session, kind, {**MODEL, **payload})) as pieces:
        documents = [piece async for piece in pieces]
    assert documents
    for document in documents:
        replied = dify.ask("write", entity, document=json.dumps(document))
        if replied.get("missing"):  # which an SDK before multimodal calls does not ask for
            continue
        assert "answer" in replied, replied
        read = json.loads(replied["answer"])
        same = {name: value for name, value in document.items() if name in read}
        assert _without_opaque(read) == _without_opaque(same)


def _without_opaque(value: Any) -> Any:
    """Leave out fields unknown to older SDKs."""
    if isinstance(value, list):
        return [_without_opaque(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {k: _without_opaque(v) for k, v in value.items() if k != "opaque_body"}  # pyright: ignore[reportUnknownVariableType]
    return value
