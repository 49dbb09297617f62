"""The handlers of reverse invocations: one function for each kind of call, named like the kind.

A handler yields the objects expected by Dify's SDK as `data`. The table of kinds names handlers
by reference, see `invokeq.protocol.kinds`. Tenant, user and model type in a payload are ignored:
the session knows the sender, and the kind implies the model type.
"""

from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any, Final

from pydantic import BaseModel

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse.payload import (
    Payload,
    read_bytes,
    read_flag,
    read_llm_config,
    read_messages,
    read_model_config,
    read_name,
    read_required,
    read_text,
    read_tools,
)
from invokeq.protocol.entities import (
    EmbeddingInputType,
    LLMResultChunk,
    MultiModalEmbeddingResult,
    TextEmbeddingResult,
)

Data = dict[str, Any]
Served = AsyncGenerator[Data, None]

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of audio in one object; in hexadecimal far below the limit of Dify's daemon, 30 MiB."""


async def llm(session: AsyncSession, payload: Payload) -> Served:
    """Yield the chunks of an LLM's answer, one chunk for a call without streaming."""
    # Not `invoke(stream=False)`: the SDK's own rules for a whole answer drop lists of parts. The
    # worker has merged the answer into one chunk already.
    invocation = await session.model.llm.submit(
        read_llm_config(payload),
        read_messages(payload),
        read_tools(payload),
        payload.get("stop"),
        read_flag(payload, "stream", True),
    )
    async with invocation:
        async for chunk in invocation:
            yield _dump_chunk(chunk)


async def llm_structured_output(session: AsyncSession, payload: Payload) -> Served:
    """Yield the chunks of an LLM's answer, with the structured output in the last chunk."""
    invocation = await session.model.llm_structured_output.submit(
        read_llm_config(payload),
        read_messages(payload),
        read_required(payload, "structured_output_schema"),
        read_tools(payload),
        payload.get("stop"),
        read_flag(payload, "stream", True),
    )
    async with invocation:
        async for chunk in invocation:
            yield _dump_chunk(chunk)


async def system_summary(session: AsyncSession, payload: Payload) -> Served:
    """Yield the summary of a text of any length."""
    text, instruction = read_name(payload, "text"), read_text(payload, "instruction")
    # The SDK returns short texts without a call, so every text that arrives is summarized.
    yield {"summary": await session.model.summary.invoke(text, instruction, 0)}


async def text_embedding(session: AsyncSession, payload: Payload) -> Served:
    """Yield the embedding result of a list of texts."""
    model, texts = read_model_config(payload), read_required(payload, "texts")
    purpose = _read_input_type(payload)
    yield _dump_vectors(await session.model.text_embedding.invoke(model, texts, purpose))


async def multimodal_embedding(session: AsyncSession, payload: Payload) -> Served:
    """Yield the embedding result of a list of texts and pictures."""
    model, documents = read_model_config(payload), read_required(payload, "documents")
    call = session.model.text_embedding.invoke_multimodal
    yield _dump_vectors(await call(model, documents, _read_input_type(payload)))


async def rerank(session: AsyncSession, payload: Payload) -> Served:
    """Yield the ranking of a list of texts."""
    model = read_model_config(payload, "score_threshold", "top_n")
    docs, query = read_required(payload, "docs"), read_name(payload, "query")
    yield _dump(await session.model.rerank.invoke(model, docs, query))


async def multimodal_rerank(session: AsyncSession, payload: Payload) -> Served:
    """Yield the ranking of a list of texts and pictures."""
    model = read_model_config(payload, "score_threshold", "top_n")
    query, docs = read_required(payload, "query"), read_required(payload, "docs")
    yield _dump(await session.model.rerank.invoke_multimodal(model, query, docs))


async def tts(session: AsyncSession, payload: Payload) -> Served:
    """Yield speech as hexadecimal pieces of at most `SEGMENT_BYTES` bytes."""
    model, text = read_model_config(payload, "voice"), read_name(payload, "content_text")
    async with await session.model.tts.submit(model, text) as invocation:
        async for segment in invocation:
            # A vendor's segment may be a whole file, and the daemon drops what is too large.
            for at in range(0, len(segment), SEGMENT_BYTES):
                piece = segment[at : at + SEGMENT_BYTES]
                yield {"result": piece.hex(), "mime_type": segment.mime_type}


async def speech2text(session: AsyncSession, payload: Payload) -> Served:
    """Yield the transcript of an audio file, which arrives as hexadecimal digits."""
    model, audio = read_model_config(payload), read_bytes(payload, "file")
    yield {"result": await session.model.speech2text.invoke(model, BytesIO(audio))}


async def moderation(session: AsyncSession, payload: Payload) -> Served:
    """Yield whether a text is sensitive."""
    model, text = read_model_config(payload), read_name(payload, "text")
    yield {"result": await session.model.moderation.invoke(model, text)}


def _read_input_type(payload: Payload) -> Any:
    """Return the input type; Dify's platform treats texts without a type as documents."""
    return payload.get("input_type") or EmbeddingInputType.DOCUMENT


def _dump_chunk(chunk: LLMResultChunk) -> Data:
    """Return a chunk as JSON, with a content other than null."""
    data = _dump(chunk)
    message = data["delta"]["message"]
    message["content"] = message["content"] or ""  # the daemon drops chunks with null content
    return data


def _dump_vectors(result: TextEmbeddingResult | MultiModalEmbeddingResult) -> Data:
    # The vectors are not dumped: pydantic would visit each of up to millions of numbers.
    return {"model": result.model, "embeddings": result.embeddings, "usage": _dump(result.usage)}


def _dump(value: BaseModel) -> Data:
    return value.model_dump(mode="json")
