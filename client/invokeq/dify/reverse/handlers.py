"""Answers one reverse invocation with the objects that Dify's SDK expects as `data`.

Order, loss and duplication are those of `invokeq.AsyncSession`. Whatever tenant, user or model type
a payload names is not looked at: the session says who asks, the kind what for.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from io import BytesIO
from typing import Any, Final

from pydantic import BaseModel

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse.kinds import refusal
from invokeq.dify.reverse.payload import (
    Payload,
    bytes_of,
    flag,
    llm_of,
    messages_of,
    model_of,
    name_of,
    required,
    text_in,
    tools_of,
)
from invokeq.protocol.entities import (
    EmbeddingInputType,
    LLMResultChunk,
    MultiModalEmbeddingResult,
    TextEmbeddingResult,
)
from invokeq.protocol.errors import InvalidRequestError

Data = dict[str, Any]
Served = AsyncGenerator[Data, None]

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of audio in one object; in hexadecimal far below the 30 MiB that Dify's daemon reads."""


async def serve(
    session: AsyncSession, kind: str, payload: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Answer a call of the type `kind` (Dify's InvokeType) with its `request` object.

    One object for calls that have one result, one a chunk or audio segment for the others. Nothing
    is sent before the first `anext()`; closing the generator cancels. Raises the errors of
    `invokeq.errors`: NotServedError for what is no call of a model, InvalidRequestError with the
    field that is wrong.
    """
    answer = _ANSWERS.get(kind)
    if answer is None:
        raise refusal(kind)
    async with aclosing(answer(session, payload)) as pieces:
        try:
            async for piece in pieces:
                yield piece
        except InvalidRequestError as error:
            raise _in_the_payload(error) from None


def _in_the_payload(error: InvalidRequestError) -> InvalidRequestError:
    """Name the field as the payload does, which has no model config."""
    field = error.fields.get("field")
    if isinstance(field, str):
        error.fields["field"] = field.removeprefix("model_config.")
    return error


async def _llm(session: AsyncSession, payload: Payload) -> Served:
    # Not `invoke(stream=False)`: that makes one answer as the SDK would, which leaves out lists of
    # parts. The worker has merged them into one chunk already.
    invocation = await session.model.llm.submit(
        llm_of(payload),
        messages_of(payload),
        tools_of(payload),
        payload.get("stop"),
        flag(payload, "stream", True),
    )
    async with invocation:
        async for chunk in invocation:
            yield _chunk(chunk)


async def _structured(session: AsyncSession, payload: Payload) -> Served:
    invocation = await session.model.llm_structured_output.submit(
        llm_of(payload),
        messages_of(payload),
        required(payload, "structured_output_schema"),
        tools_of(payload),
        payload.get("stop"),
        flag(payload, "stream", True),
    )
    async with invocation:
        async for chunk in invocation:
            yield _chunk(chunk)


async def _summary(session: AsyncSession, payload: Payload) -> Served:
    text, instruction = name_of(payload, "text"), text_in(payload, "instruction")
    yield {"summary": await session.model.summary.invoke(text, instruction, 0)}


async def _embedding(session: AsyncSession, payload: Payload) -> Served:
    model, texts = model_of(payload), required(payload, "texts")
    yield _vectors(await session.model.text_embedding.invoke(model, texts, _purpose(payload)))


async def _multimodal_embedding(session: AsyncSession, payload: Payload) -> Served:
    model, documents = model_of(payload), required(payload, "documents")
    call = session.model.text_embedding.invoke_multimodal
    yield _vectors(await call(model, documents, _purpose(payload)))


async def _rerank(session: AsyncSession, payload: Payload) -> Served:
    model = model_of(payload, "score_threshold", "top_n")
    docs, query = required(payload, "docs"), name_of(payload, "query")
    yield _plain(await session.model.rerank.invoke(model, docs, query))


async def _multimodal_rerank(session: AsyncSession, payload: Payload) -> Served:
    model = model_of(payload, "score_threshold", "top_n")
    query, docs = required(payload, "query"), required(payload, "docs")
    yield _plain(await session.model.rerank.invoke_multimodal(model, query, docs))


async def _tts(session: AsyncSession, payload: Payload) -> Served:
    model, text = model_of(payload, "voice"), name_of(payload, "content_text")
    async with await session.model.tts.submit(model, text) as invocation:
        async for segment in invocation:
            for at in range(0, len(segment), SEGMENT_BYTES):
                piece = segment[at : at + SEGMENT_BYTES]
                yield {"result": piece.hex(), "mime_type": segment.mime_type}


async def _speech2text(session: AsyncSession, payload: Payload) -> Served:
    model, audio = model_of(payload), bytes_of(payload, "file")
    yield {"result": await session.model.speech2text.invoke(model, BytesIO(audio))}


async def _moderation(session: AsyncSession, payload: Payload) -> Served:
    model, text = model_of(payload), name_of(payload, "text")
    yield {"result": await session.model.moderation.invoke(model, text)}


_ANSWERS: Final[Mapping[str, Callable[[AsyncSession, Payload], Served]]] = {
    "llm": _llm,
    "llm_structured_output": _structured,
    "system_summary": _summary,
    "text_embedding": _embedding,
    "multimodal_embedding": _multimodal_embedding,
    "rerank": _rerank,
    "multimodal_rerank": _multimodal_rerank,
    "tts": _tts,
    "speech2text": _speech2text,
    "moderation": _moderation,
}


def _purpose(payload: Payload) -> Any:
    """Give the input type; Dify's platform takes texts without one for documents."""
    return payload.get("input_type") or EmbeddingInputType.DOCUMENT


def _chunk(chunk: LLMResultChunk) -> Data:
    """Give a chunk as the daemon takes it: it drops one whose content is null."""
    data = _plain(chunk)
    message = data["delta"]["message"]
    message["content"] = message["content"] or ""
    return data


def _vectors(result: TextEmbeddingResult | MultiModalEmbeddingResult) -> Data:
    # The vectors are not dumped: pydantic would look at each of what may be millions of numbers.
    return {"model": result.model, "embeddings": result.embeddings, "usage": _plain(result.usage)}


def _plain(value: BaseModel) -> Data:
    return value.model_dump(mode="json")
