"""A provider that sends embedding calls of several callers to the vendor as one.

Texts are joined for one model and one input type. Multimodal documents and all other kinds of call
pass unchanged: no vendor's API scores two queries at once. A shared call names no user, and has the
request id of the first caller. The vendor's count of tokens is split by the length of the texts;
the parts add up to the count.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from invokeq.protocol.entities import EmbeddingInputType, ModelPropertyKey
from invokeq.protocol.errors import UnusableAnswerError
from invokeq_providers.base import Embedded, EmbeddingCall, Provider
from invokeq_providers.calls.embedding import DEFAULT_MAX_CHUNKS
from invokeq_providers.models.properties import count_property
from invokeq_providers.options import Batch
from invokeq_providers.wrappers.batching import MicroBatcher, split_exactly
from invokeq_providers.wrappers.delegating import DelegatingProvider


class SharedEmbedding(DelegatingProvider):
    """Wrapper of one provider for the whole life of the worker."""

    def __init__(self, provider: Provider, batch: Batch) -> None:
        super().__init__(provider)
        self._texts = batch.texts
        self._batcher = MicroBatcher[tuple[str, EmbeddingInputType], EmbeddingCall, Embedded](
            self._embed, wait_s=batch.wait_ms / 1000
        )

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        if not call.texts:
            return await self.wrapped.text_embedding(call)
        most = count_property(call.facts, ModelPropertyKey.MAX_CHUNKS, DEFAULT_MAX_CHUNKS)
        return await self._batcher.submit(
            (call.model, call.input_type),
            call,
            size=len(call.texts),
            limit=min(self._texts, most),
            heartbeat=call.heartbeat,
        )

    async def _embed(
        self, calls: Sequence[EmbeddingCall], heartbeat: Callable[[], None]
    ) -> Sequence[Embedded]:
        if len(calls) == 1:
            return [await self.wrapped.text_embedding(replace(calls[0], heartbeat=heartbeat))]
        texts = [text for call in calls for text in call.texts]
        shared = replace(calls[0], texts=texts, user=None, heartbeat=heartbeat)
        embedded = await self.wrapped.text_embedding(shared)
        # A missing row would give one caller the vectors of another caller's texts.
        if len(embedded.rows) != len(texts):
            problem = f"{len(embedded.rows)} vectors came for {len(texts)} texts"
            raise UnusableAnswerError(provider=self.name, model=shared.model, problem=problem)
        # Vendors report tokens for the whole request only; characters are the fairest share.
        lengths = [sum(map(len, call.texts)) for call in calls]
        parts: list[Embedded] = []
        at = 0
        for call, tokens in zip(calls, split_exactly(embedded.tokens, lengths), strict=True):
            parts.append(Embedded(embedded.rows[at : at + len(call.texts)], tokens))
            at += len(call.texts)
        return parts
