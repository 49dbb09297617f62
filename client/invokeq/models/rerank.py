"""`session.model.rerank`: Dify's signatures and results, over the queue."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.protocol.entities import (
    MultiModalContent,
    MultiModalRerankModelConfig,
    MultiModalRerankResult,
    RerankModelConfig,
    RerankResult,
)
from invokeq.requests.rerank import build_multimodal_rerank_request, build_rerank_request
from invokeq.results.decode import multimodal_rerank_decoder, rerank_decoder
from invokeq.results.ranking import RankedBatch, RankingEnd


class RerankCalls(Preparing):
    """Checks the arguments of rerank calls."""

    def prepare(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        **extras: Unpack[CallExtras],
    ) -> Call[RankedBatch | RankingEnd, RerankResult]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_rerank_request(model_config, docs, query)
        return self._call(request, options, rerank_decoder(request))

    def prepare_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        **extras: Unpack[CallExtras],
    ) -> Call[RankedBatch | RankingEnd, MultiModalRerankResult]:
        """Check and return a call, unsent, for `session.submit_many`."""
        options = call_options(**extras)
        request = build_multimodal_rerank_request(model_config, query, docs)
        return self._call(request, options, multimodal_rerank_decoder(request))


class Rerank(RerankCalls, Calls):
    """Ranks documents."""

    def invoke(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        **extras: Unpack[CallExtras],
    ) -> RerankResult:
        """Rank texts by relevance to a query: best first, the vendor's scores untouched."""
        return self._result(self.prepare(model_config, docs, query, **extras))

    def submit(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        **extras: Unpack[CallExtras],
    ) -> Invocation[RankedBatch | RankingEnd, RerankResult]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare(model_config, docs, query, **extras))

    def invoke_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        **extras: Unpack[CallExtras],
    ) -> MultiModalRerankResult:
        """Rank texts and pictures; mind the order of the arguments, which is Dify's."""
        # The query comes first here and second in `invoke`: both orders are Dify's.
        return self._result(self.prepare_multimodal(model_config, query, docs, **extras))

    def submit_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        **extras: Unpack[CallExtras],
    ) -> Invocation[RankedBatch | RankingEnd, MultiModalRerankResult]:
        """Enqueue now and return the handle."""
        return self._start(self.prepare_multimodal(model_config, query, docs, **extras))


class AsyncRerank(RerankCalls, AsyncCalls):
    """Ranks documents, on asyncio."""

    async def invoke(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        **extras: Unpack[CallExtras],
    ) -> RerankResult:
        """Rank texts by relevance to a query: best first, the vendor's scores untouched."""
        return await self._result(self.prepare(model_config, docs, query, **extras))

    async def submit(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[RankedBatch | RankingEnd, RerankResult]:
        """Enqueue now and return the handle."""
        return await self._start(self.prepare(model_config, docs, query, **extras))

    async def invoke_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        **extras: Unpack[CallExtras],
    ) -> MultiModalRerankResult:
        """Rank texts and pictures; mind the order of the arguments, which is Dify's."""
        return await self._result(self.prepare_multimodal(model_config, query, docs, **extras))

    async def submit_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        **extras: Unpack[CallExtras],
    ) -> AsyncInvocation[RankedBatch | RankingEnd, MultiModalRerankResult]:
        """Enqueue now and return the handle."""
        return await self._start(self.prepare_multimodal(model_config, query, docs, **extras))
