"""A provider that retries vendor calls failing before any output.

A retry covers one vendor call, so one part of an answer: of five hundred batches of vectors only
the batch with a 429 is requested again. No output is emitted twice: a unary call has no output
before the end, and a stream with one emitted chunk is never restarted.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from invokeq.protocol.errors import InvokeqError
from invokeq_providers.base import Embedded, EmbeddingCall, Provider
from invokeq_providers.call_methods import ModelCall
from invokeq_providers.wrappers.delegating import DelegatingProvider
from invokeq_worker.vendor.vendor_calls import ModelRef, VendorCalls

CallT = TypeVar("CallT", bound=ModelCall)
T = TypeVar("T")


class RetryingProvider(DelegatingProvider):
    """Wrapper of a provider for one invocation; `calls` counts every vendor call."""

    def __init__(self, provider: Provider, calls: VendorCalls) -> None:
        super().__init__(provider)
        self._calls = calls

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        embedded = await super().text_embedding(call)
        self._calls.usage_meter.embedded(call, embedded)
        return embedded

    async def forward_unary(
        self, method: Callable[[CallT], Coroutine[Any, Any, T]], call: CallT
    ) -> T:
        made = 0
        while True:
            made += 1
            self._calls.count()
            try:
                return await method(call)
            except InvokeqError as error:
                failure = error
            # Outside of `except`: a cancelled wait must not carry the failure as a context.
            await self._calls.failed(failure, ModelRef(self.name, call.model), made)

    async def forward_streaming(
        self, method: Callable[[CallT], AsyncGenerator[T, None]], call: CallT
    ) -> AsyncGenerator[T, None]:
        emitted = False
        made = 0
        while True:
            made += 1
            self._calls.count()
            count = self._calls.usage_meter.counter(call)
            try:
                # `aclosing`: a failed stream must close the connection before the next attempt.
                async with aclosing(method(call)) as items:
                    async for item in items:
                        emitted = True
                        if count is not None:
                            count(item)
                        yield item
            except InvokeqError as error:
                if emitted:
                    # The reader has a part of the answer; a second try would not continue there.
                    raise
                failure = error
            else:
                return
            await self._calls.failed(failure, ModelRef(self.name, call.model), made)
