"""Embedding calls: batches run concurrently, vectors are emitted in the order of the texts."""

import asyncio
import math
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelPropertyKey,
    ModelType,
    MultiModalContent,
)
from invokeq.protocol.errors import UnusableAnswerError
from invokeq.protocol.requests import MultiModalEmbeddingRequest, TextEmbeddingRequest
from invokeq_providers.base import Embedded, EmbeddingCall, Provider
from invokeq_providers.calls.documents import check_documents, check_texts, takes_documents
from invokeq_providers.calls.ordered_gather import ordered_gather
from invokeq_providers.calls.outputs import Output, Result, Services, Vectors
from invokeq_providers.models.properties import count_property
from invokeq_providers.models.usage import embedding_usage

CONCURRENCY: Final = 8
"""Batches of one invocation that run at once, unless the model's `max_workers` says otherwise."""

PIECE_BYTES: Final = 512 * 1024
"""Upper bound of one event, so that no event stalls Redis; at least one vector is emitted."""

_LONG_CHECK: Final = 1_000_000  # floats; checking more would hold the loop for milliseconds
# An IEEE 754 number is infinite or NaN only if all bits of the exponent are set. The highest byte
# is then 0x7F or 0xFF, after the sign; some huge finite numbers share these bytes.
_HIGHEST_BYTE: Final = -1 if sys.byteorder == "little" else 0
_HUGE: Final = (0x7F, 0xFF)

DEFAULT_MAX_CHUNKS: Final = 32
"""Texts of one batch for a model without the property `max_chunks`; most vendors take 32."""

EmbeddingRequest = TextEmbeddingRequest | MultiModalEmbeddingRequest


async def serve_embedding(
    request: EmbeddingRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield vectors in the order of the texts, then one result with model, usage and count.

    Vectors are emitted as soon as all earlier ones are there. Raises `UnusableAnswerError` naming
    the text whose vector is missing, not finite, or of another length.
    """
    provider = services.provider(request.provider)
    began = time.monotonic()
    calls = prepare_embedding(request, provider, request_id=services.request_id, user=services.user)
    facts = provider.facts(ModelType.TEXT_EMBEDDING, request.model)
    bound = count_property(facts, ModelPropertyKey.MAX_WORKERS, CONCURRENCY)
    check = _Check(provider.name, request.model)
    tokens = 0
    jobs = (partial(_embed, provider, call, services) for call in calls)
    # `aclosing`: a reader that leaves early must cancel the batches in flight now, not at the
    # next garbage collection.
    async with aclosing(ordered_gather(jobs, bound)) as batches:
        async for size, embedded in batches:
            start = check.count
            rows = await check.rows(size, embedded.rows)
            tokens += embedded.tokens
            for piece in _pieces(start, rows):
                yield piece
    usage = embedding_usage(facts, tokens, time.monotonic() - began)
    value = {"model": request.model, "usage": usage.model_dump(mode="json"), "count": check.count}
    yield Result(value, usage)


async def _embed(
    provider: Provider, call: EmbeddingCall, services: Services
) -> tuple[int, Embedded]:
    embedded = await provider.text_embedding(replace(call, heartbeat=services.heartbeat))
    services.heartbeat()
    return len(call.texts) or len(call.documents), embedded


class _Check:
    """Checks of a vendor's vectors: one a text, all of one length, every number finite."""

    def __init__(self, provider: str, model: str) -> None:
        self.count = 0  # of the vectors that are checked
        self._provider = provider
        self._model = model
        self._length: int | None = None

    async def rows(self, size: int, rows: "Sequence[array[float]]") -> "Sequence[array[float]]":
        """Return the `size` rows of the next batch, all of one array type.

        Raises `UnusableAnswerError` for rows that fail a check.
        """
        if len(rows) != size:
            places = f"{self.count} to {self.count + size - 1}"
            raise self._error(f"{len(rows)} vectors came for the {size} texts {places}")
        if len(rows) * len(rows[0]) > _LONG_CHECK:
            # Off the loop: every other invocation of the process would wait for the check.
            await asyncio.to_thread(self._check, rows)
        else:
            self._check(rows)
        self.count += size
        # One event has one array type; doubles hold every 32-bit float exactly.
        if len({row.typecode for row in rows}) > 1:
            return [array("d", row) for row in rows]
        return rows

    def _check(self, rows: "Sequence[array[float]]") -> None:
        for i, row in enumerate(rows, self.count):
            if self._length is None:
                self._length = len(row)
            if not row:
                raise self._error(f"the vector of text {i} is empty")
            if len(row) != self._length:
                problem = f"has {len(row)} dimensions, those before it {self._length}"
                raise self._error(f"the vector of text {i} {problem}")
            if not _is_finite(row):
                raise self._error(f"the vector of text {i} has a number that is not finite")

    def _error(self, problem: str) -> UnusableAnswerError:
        return UnusableAnswerError(provider=self._provider, model=self._model, problem=problem)


def _is_finite(row: "array[float]") -> bool:
    """Return whether every number is finite, in an eighth of the time of a check by number."""
    highest = row.tobytes()[_HIGHEST_BYTE % row.itemsize :: row.itemsize]
    if not any(byte in highest for byte in _HUGE):
        return True
    # Suspect bytes are rare, so the slow and exact check is too.
    return all(map(math.isfinite, row))


def _pieces(start: int, rows: "Sequence[array[float]]") -> Iterator[Vectors]:
    step = max(1, PIECE_BYTES // (len(rows[0]) * rows[0].itemsize))
    for at in range(0, len(rows), step):
        yield Vectors(start + at, rows[at : at + step])


def prepare_embedding(
    request: EmbeddingRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> list[EmbeddingCall]:
    """Check the texts, and cut the texts into batches of the model's `max_chunks`.

    No texts give no batches. A text-only model gets documents as texts. Raises
    `ModelNotFoundError`, or `InvalidRequestError` naming the text.
    """
    facts = provider.facts(ModelType.TEXT_EMBEDDING, request.model)
    size = count_property(facts, ModelPropertyKey.MAX_CHUNKS, DEFAULT_MAX_CHUNKS)
    texts, documents = _inputs(request, facts, provider.name)
    return [
        EmbeddingCall(
            request_id=request_id,
            model=request.model,
            facts=facts,
            texts=batch_of_texts,
            documents=batch_of_documents,
            input_type=EmbeddingInputType(request.input_type),
            user=user,
        )
        for batch_of_texts, batch_of_documents in _batches(texts, documents, size)
    ]


def _inputs(
    request: EmbeddingRequest, facts: AIModelEntity, provider: str
) -> tuple[Sequence[str], Sequence[MultiModalContent]]:
    if isinstance(request, TextEmbeddingRequest):
        check_texts("texts", request.texts, facts, provider)
        return request.texts, ()
    check_documents("documents", request.documents, facts, provider)
    if takes_documents(facts):
        return (), request.documents
    return [document.content for document in request.documents], ()


def _batches(
    texts: Sequence[str], documents: Sequence[MultiModalContent], size: int
) -> Iterator[tuple[Sequence[str], Sequence[MultiModalContent]]]:
    for start in range(0, len(texts) or len(documents), size):
        yield texts[start : start + size], documents[start : start + size]
