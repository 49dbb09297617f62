"""`session.model.text_embedding`: Dify's signatures and results, over the queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import EMBEDDING, MULTIMODAL_EMBEDDING
from invokeq.core.options import call_options
from invokeq.core.vectors import (
    EmbeddingEnd,
    VectorBatch,
    build_embedding_request,
    build_multimodal_embedding_request,
)
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import (
    EmbeddingInputType,
    MultiModalContent,
    MultiModalEmbeddingModelConfig,
    MultiModalEmbeddingResult,
    TextEmbeddingModelConfig,
    TextEmbeddingResult,
)
from invokeq.protocol.requests import Priority


class TextEmbedding(Calls):
    """Turns texts, or texts and pictures, into vectors."""

    def invoke(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> TextEmbeddingResult:
        """Embed texts: one vector each, in order, bit-exact as the model gave them."""
        prepared = self._prepare(build_embedding_request(model_config, texts, input_type))
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, EMBEDDING)

    def submit(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_embedding_request(model_config, texts, input_type))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, EMBEDDING)

    def invoke_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> MultiModalEmbeddingResult:
        """Embed texts and pictures: one vector each, in order."""
        prepared = self._prepare(
            build_multimodal_embedding_request(model_config, documents, input_type)
        )
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, MULTIMODAL_EMBEDDING)

    def submit_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(
            build_multimodal_embedding_request(model_config, documents, input_type)
        )
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, MULTIMODAL_EMBEDDING)


class AsyncTextEmbedding(AsyncCalls):
    """Turns texts, or texts and pictures, into vectors, on asyncio."""

    async def invoke(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> TextEmbeddingResult:
        """Embed texts: one vector each, in order, bit-exact as the model gave them."""
        prepared = self._prepare(build_embedding_request(model_config, texts, input_type))
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, EMBEDDING)

    async def submit(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_embedding_request(model_config, texts, input_type))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, EMBEDDING)

    async def invoke_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> MultiModalEmbeddingResult:
        """Embed texts and pictures: one vector each, in order."""
        prepared = self._prepare(
            build_multimodal_embedding_request(model_config, documents, input_type)
        )
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, MULTIMODAL_EMBEDDING)

    async def submit_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(
            build_multimodal_embedding_request(model_config, documents, input_type)
        )
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, MULTIMODAL_EMBEDDING)
