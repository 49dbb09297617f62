"""A provider that stands before another one."""

from collections.abc import AsyncGenerator, Collection, Sequence

from invokeq.protocol.entities import AIModelEntity, ModelType
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
from invokeq_providers.chunks import LLMChunk


class DelegatingProvider(Provider):
    """Passes everything on as it is; a subclass changes what it stands there for."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider.name, provider.options)
        self._provider = provider
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
        return await self._provider.text_embedding(call)

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        return await self._provider.rerank(call)

    async def tts(self, call: SpeechCall) -> Speech:
        return await self._provider.tts(call)

    async def speech2text(self, call: TranscriptionCall) -> str:
        return await self._provider.speech2text(call)

    async def moderation(self, call: ModerationCall) -> bool:
        return await self._provider.moderation(call)

    def _take_over(self) -> None:
        """Serve what the other one serves; what that is may show only once it has started."""
        self.any_model = self._provider.any_model
        self.model_types = self._provider.model_types
        self.missing = self._provider.missing
