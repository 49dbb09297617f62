"""The provider of the type `cohere`: maps each kind of call to a file."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from invokeq.protocol.entities import ModelType
from invokeq_providers.base import Embedded, EmbeddingCall, LLMCall, RerankCall, Score
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.cohere.api import CohereOptions, CohereVendor
from invokeq_providers.cohere.llm import answer_chat
from invokeq_providers.cohere.search import embed, rerank
from invokeq_providers.options import parse_options


class CohereProvider(CohereVendor):
    """Provider of the type `cohere`."""

    model_types: frozenset[ModelType] = frozenset(
        {ModelType.LLM, ModelType.TEXT_EMBEDDING, ModelType.RERANK}
    )

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options, parse_options(CohereOptions, name, options))

    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        return answer_chat(self, call)

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        return await embed(self, call)

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        return await rerank(self, call)
