"""A provider whose embedding calls of several callers may go to the vendor as one.

Texts are joined for one model and one input type; documents that are no texts, and all other kinds
of call, pass as they are: no vendor's API scores two queries at once. A shared call names no user,
and the request id of its first caller. The vendor's count of tokens is dealt out by the length of
the texts, so that the parts add up to it.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import replace

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelPropertyKey,
    ModelType,
)
from invokeq.protocol.errors import UnusableAnswerError
from invokeq_providers.base import (
    Embedded,
    EmbeddingCall,
    LLMCall,
    ModerationCall,
    Provider,
    RerankCall,
    Score,
    Speech,
    SpeechCall,
    TranscriptionCall,
)
from invokeq_providers.batching import MicroBatcher, split_exactly
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.options import Batch
from invokeq_providers.prepare_embedding import DEFAULT_MAX_CHUNKS
from invokeq_providers.properties import count_property


class SharedEmbedding(Provider):
    """Stands before a provider for the whole life of the worker."""

    def __init__(self, provider: Provider, batch: Batch) -> None:
        super().__init__(provider.name, provider.options)
        self._provider = provider
        self._texts = batch.texts
        self._batcher = MicroBatcher[tuple[str, EmbeddingInputType], EmbeddingCall, Embedded](
            self._embed, wait_s=batch.wait_ms / 1000
        )
        self._take_over()

    def models(self) -> Sequence[AIModelEntity]:
        return self._provider.models()

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        return self._provider.facts(model_type, model)

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        await self._provider.start(model_types)
        self._take_over()

    async def close(self) -> None:
        await self._provider.close()

    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        return self._provider.llm(call)

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        return await self._provider.count_tokens(model, texts)

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        if not call.texts:
            return await self._provider.text_embedding(call)
        most = count_property(call.facts, ModelPropertyKey.MAX_CHUNKS, DEFAULT_MAX_CHUNKS)
        return await self._batcher.ask(
            (call.model, call.input_type),
            call,
            size=len(call.texts),
            limit=min(self._texts, most),
            alive=call.alive,
        )

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        return await self._provider.rerank(call)

    async def tts(self, call: SpeechCall) -> Speech:
        return await self._provider.tts(call)

    async def speech2text(self, call: TranscriptionCall) -> str:
        return await self._provider.speech2text(call)

    async def moderation(self, call: ModerationCall) -> bool:
        return await self._provider.moderation(call)

    def _take_over(self) -> None:
        self.any_model = self._provider.any_model
        self.model_types = self._provider.model_types
        self.missing = self._provider.missing

    async def _embed(
        self, calls: Sequence[EmbeddingCall], alive: Callable[[], None]
    ) -> Sequence[Embedded]:
        if len(calls) == 1:
            return [await self._provider.text_embedding(replace(calls[0], alive=alive))]
        texts = [text for call in calls for text in call.texts]
        shared = replace(calls[0], texts=texts, user=None, alive=alive)
        embedded = await self._provider.text_embedding(shared)
        if len(embedded.rows) != len(texts):
            problem = f"{len(embedded.rows)} vectors came for {len(texts)} texts"
            raise UnusableAnswerError(provider=self.name, model=shared.model, problem=problem)
        lengths = [sum(map(len, call.texts)) for call in calls]
        parts: list[Embedded] = []
        at = 0
        for call, tokens in zip(calls, split_exactly(embedded.tokens, lengths), strict=True):
            parts.append(Embedded(embedded.rows[at : at + len(call.texts)], tokens))
            at += len(call.texts)
        return parts
