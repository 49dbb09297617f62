"""`session.model.rerank`: Dify's signatures and results, over the queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import MULTIMODAL_RERANK, RERANK
from invokeq.core.options import call_options
from invokeq.core.vectors import build_multimodal_rerank_request, build_rerank_request
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.entities import (
    MultiModalContent,
    MultiModalRerankModelConfig,
    MultiModalRerankResult,
    RerankModelConfig,
    RerankResult,
)
from invokeq.protocol.requests import Priority


class Rerank(Calls):
    """Ranks documents."""

    def invoke(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> RerankResult:
        """Rank texts by how well they fit a query: best first, the vendor's scores untouched."""
        prepared = self._prepare(build_rerank_request(model_config, docs, query))
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, RERANK)

    def submit(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[RerankResult, RerankResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_rerank_request(model_config, docs, query))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, RERANK)

    def invoke_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> MultiModalRerankResult:
        """Rank texts and pictures; mind the order of the arguments, which is Dify's."""
        prepared = self._prepare(build_multimodal_rerank_request(model_config, query, docs))
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, MULTIMODAL_RERANK)

    def submit_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[MultiModalRerankResult, MultiModalRerankResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_multimodal_rerank_request(model_config, query, docs))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, MULTIMODAL_RERANK)


class AsyncRerank(AsyncCalls):
    """Ranks documents, on asyncio."""

    async def invoke(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> RerankResult:
        """Rank texts by how well they fit a query: best first, the vendor's scores untouched."""
        prepared = self._prepare(build_rerank_request(model_config, docs, query))
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, RERANK)

    async def submit(
        self,
        model_config: RerankModelConfig | Mapping[str, Any],
        docs: Sequence[str],
        query: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[RerankResult, RerankResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_rerank_request(model_config, docs, query))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, RERANK)

    async def invoke_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> MultiModalRerankResult:
        """Rank texts and pictures; mind the order of the arguments, which is Dify's."""
        prepared = self._prepare(build_multimodal_rerank_request(model_config, query, docs))
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, MULTIMODAL_RERANK)

    async def submit_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Mapping[str, Any],
        query: MultiModalContent | Mapping[str, Any],
        docs: Sequence[MultiModalContent | Mapping[str, Any]],
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[MultiModalRerankResult, MultiModalRerankResult]:
        """Enqueue now and give the handle."""
        prepared = self._prepare(build_multimodal_rerank_request(model_config, query, docs))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, MULTIMODAL_RERANK)
