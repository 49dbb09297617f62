"""A provider whose calls are made again when the vendor failed before it had said anything.

Retries are for one vendor call each, and so for one piece of an answer: of five hundred batches of
vectors only the one that met a 429 is asked for again. What has been said is never said again: a
call that gives its answer whole has said nothing before, and a stream that has given a chunk is not
begun anew.
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
    """Wraps a provider during one invocation, and reports each vendor call to `calls`."""

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
                async with aclosing(method(call)) as items:
                    async for item in items:
                        emitted = True
                        if count is not None:
                            count(item)
                        yield item
            except InvokeqError as error:
                if emitted:
                    raise
                failure = error
            else:
                return
            await self._calls.failed(failure, ModelRef(self.name, call.model), made)
