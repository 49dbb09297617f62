"""`session.model.text_embedding`: Dify's signatures and results, over the queue."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import (
    EmbeddingInputType,
    MultiModalContent,
    MultiModalEmbeddingModelConfig,
    MultiModalEmbeddingResult,
    TextEmbeddingModelConfig,
    TextEmbeddingResult,
)
from invokeq.requests.embedding import (
    build_embedding_request,
    build_multimodal_embedding_request,
)
from invokeq.results.decode import multimodal_embedding_decoder, text_embedding_decoder
from invokeq.results.vectors import EmbeddingEnd, VectorBatch


class TextEmbeddingCalls(Preparing):
    """Checks the arguments of embedding calls."""

    def prepare(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> Call[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_embedding_request(model_config, texts, input_type)
        return self._call(request, options, text_embedding_decoder(request))

    def prepare_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> Call[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_multimodal_embedding_request(model_config, documents, input_type)
        return self._call(request, options, multimodal_embedding_decoder(request))


class TextEmbedding(TextEmbeddingCalls, Calls):
    """Turns texts, or texts and pictures, into vectors."""

    def invoke(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> TextEmbeddingResult:
        """Embed texts: one vector each, in order, bit-exact as from the model."""
        return self._result(self.prepare(model_config, texts, input_type, **extras))

    def submit(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> Invocation[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare(model_config, texts, input_type, **extras))

    def invoke_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> MultiModalEmbeddingResult:
        """Embed texts and pictures: one vector each, in order."""
        return self._result(self.prepare_multimodal(model_config, documents, input_type, **extras))

    def submit_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> Invocation[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare_multimodal(model_config, documents, input_type, **extras))


class AsyncTextEmbedding(TextEmbeddingCalls, AsyncCalls):
    """Turns texts, or texts and pictures, into vectors, on asyncio."""

    async def invoke(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> TextEmbeddingResult:
        """Embed texts: one vector each, in order, bit-exact as from the model."""
        return await self._result(self.prepare(model_config, texts, input_type, **extras))

    async def submit(
        self,
        model_config: TextEmbeddingModelConfig | Mapping[str, Any],
        texts: Sequence[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[VectorBatch | EmbeddingEnd, TextEmbeddingResult]:
        """Enqueue now and return the handle."""
        return await self._start(self.prepare(model_config, texts, input_type, **extras))

    async def invoke_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> MultiModalEmbeddingResult:
        """Embed texts and pictures: one vector each, in order."""
        return await self._result(
            self.prepare_multimodal(model_config, documents, input_type, **extras)
        )

    async def submit_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Mapping[str, Any],
        documents: Sequence[MultiModalContent | Mapping[str, Any]],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[VectorBatch | EmbeddingEnd, MultiModalEmbeddingResult]:
        """Enqueue now and return the handle."""
        return await self._start(
            self.prepare_multimodal(model_config, documents, input_type, **extras)
        )
