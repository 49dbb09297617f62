"""`session.model.summary`: Dify's signature and result, over the queue."""

from datetime import datetime

from invokeq.async_invocation import AsyncInvocation
from invokeq.core.answers import SUMMARY
from invokeq.core.llm import build_summary_request
from invokeq.core.options import call_options
from invokeq.invocation import Invocation
from invokeq.model.calls import AsyncCalls, Calls
from invokeq.protocol.requests import Priority

MIN_SUMMARIZE_LENGTH = 1024
"""Characters; a shorter text is its own summary, as in Dify's SDK."""


class Summary(Calls):
    """Summarises texts."""

    def invoke(
        self,
        text: str,
        instruction: str,
        min_summarize_length: int = MIN_SUMMARIZE_LENGTH,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> str:
        """Summarise a text with the operator's summary model; a short one comes back as it is."""
        if len(text) < min_summarize_length:
            return text
        prepared = self._prepare(build_summary_request(text, instruction))
        call = call_options(request_id, deadline, priority, detached)
        return self._result(prepared, call, SUMMARY)

    def submit(
        self,
        text: str,
        instruction: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> Invocation[str, str]:
        """Enqueue now and give the handle, however short the text."""
        prepared = self._prepare(build_summary_request(text, instruction))
        call = call_options(request_id, deadline, priority, detached)
        return self._start(prepared, call, SUMMARY)


class AsyncSummary(AsyncCalls):
    """Summarises texts, on asyncio."""

    async def invoke(
        self,
        text: str,
        instruction: str,
        min_summarize_length: int = MIN_SUMMARIZE_LENGTH,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> str:
        """Summarise a text with the operator's summary model; a short one comes back as it is."""
        if len(text) < min_summarize_length:
            return text
        prepared = self._prepare(build_summary_request(text, instruction))
        call = call_options(request_id, deadline, priority, detached)
        return await self._result(prepared, call, SUMMARY)

    async def submit(
        self,
        text: str,
        instruction: str,
        *,
        request_id: str | None = None,
        deadline: float | datetime | None = None,
        priority: Priority = "normal",
        detached: bool = False,
    ) -> AsyncInvocation[str, str]:
        """Enqueue now and give the handle, however short the text."""
        prepared = self._prepare(build_summary_request(text, instruction))
        call = call_options(request_id, deadline, priority, detached)
        return await self._start(prepared, call, SUMMARY)
