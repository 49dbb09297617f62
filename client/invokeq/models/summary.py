"""`session.model.summary`: Dify's signature and result, over the queue."""

from typing import Unpack

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls, Preparing
from invokeq.operations.call import Call
from invokeq.operations.options import CallExtras, call_options
from invokeq.requests.llm import build_summary_request
from invokeq.results.decode import system_summary_decoder

MIN_SUMMARIZE_LENGTH = 1024
"""Characters; a shorter text comes back unchanged, as in Dify's SDK."""


class SummaryCalls(Preparing):
    """Checks the arguments of summaries."""

    def prepare(self, text: str, instruction: str, **extras: Unpack[CallExtras]) -> Call[str, str]:
        """Check and return a call, unsent, for `session.submit_many`, however short the text."""
        options = call_options(**extras)
        request = build_summary_request(text, instruction)
        return self._call(request, options, system_summary_decoder(request))


class Summary(SummaryCalls, Calls):
    """Summarises texts."""

    def invoke(
        self,
        text: str,
        instruction: str,
        min_summarize_length: int = MIN_SUMMARIZE_LENGTH,
        **extras: Unpack[CallExtras],
    ) -> str:
        """Summarise a text with the operator's summary model; a short text comes back unchanged."""
        if len(text) < min_summarize_length:
            # A wrong keyword must not pass on short texts alone.
            call_options(**extras)
            return text
        return self._result(self.prepare(text, instruction, **extras))

    def submit(
        self, text: str, instruction: str, **extras: Unpack[CallExtras]
    ) -> Invocation[str, str]:
        """Enqueue now and return the handle, however short the text."""
        return self._start(self.prepare(text, instruction, **extras))


class AsyncSummary(SummaryCalls, AsyncCalls):
    """Summarises texts, on asyncio."""

    async def invoke(
        self,
        text: str,
        instruction: str,
        min_summarize_length: int = MIN_SUMMARIZE_LENGTH,
        **extras: Unpack[CallExtras],
    ) -> str:
        """Summarise a text with the operator's summary model; a short text comes back unchanged."""
        if len(text) < min_summarize_length:
            # A wrong keyword must not pass on short texts alone.
            call_options(**extras)
            return text
        return await self._result(self.prepare(text, instruction, **extras))

    async def submit(
        self, text: str, instruction: str, **extras: Unpack[CallExtras]
    ) -> AsyncInvocation[str, str]:
        """Enqueue now and return the handle, however short the text."""
        return await self._start(self.prepare(text, instruction, **extras))
