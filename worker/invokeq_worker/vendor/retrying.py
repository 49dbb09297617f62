"""A provider whose calls are made again when the vendor failed before it had said anything.

Retries are for one vendor call each, and so for one piece of an answer: of five hundred batches of
vectors only the one that met a 429 is asked for again. What has been said is never said again: a
call that gives its answer whole has said nothing before, and a stream that has given a chunk is not
begun anew.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

from invokeq.protocol.errors import InvokeqError
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
from invokeq_providers.wrappers.delegating import DelegatingProvider
from invokeq_worker.config.values import ModelRef
from invokeq_worker.vendor.vendor_calls import VendorCalls


class _Call(Protocol):
    @property
    def model(self) -> str: ...


Call = TypeVar("Call", bound=_Call)
T = TypeVar("T")


class RetryingProvider(DelegatingProvider):
    """Stands before a provider during one invocation, whose `calls` it counts and tells."""

    def __init__(self, provider: Provider, calls: VendorCalls) -> None:
        super().__init__(provider)
        self._calls = calls

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        said = False
        made = 0
        while True:
            made += 1
            self._calls.count()
            answer = self._calls.usage_meter.begin(call)
            try:
                async with aclosing(self._provider.llm(call)) as chunks:
                    async for chunk in chunks:
                        said = True
                        answer.add(chunk)
                        yield chunk
            except InvokeqError as error:
                if said:
                    raise
                failure = error
            else:
                return
            await self._calls.failed(failure, ModelRef(self.name, call.model), made)

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        embedded = await self._whole(self._provider.text_embedding, call)
        self._calls.usage_meter.embedded(call, embedded)
        return embedded

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        return await self._whole(self._provider.rerank, call)

    async def tts(self, call: SpeechCall) -> Speech:
        return await self._whole(self._provider.tts, call)

    async def speech2text(self, call: TranscriptionCall) -> str:
        return await self._whole(self._provider.speech2text, call)

    async def moderation(self, call: ModerationCall) -> bool:
        return await self._whole(self._provider.moderation, call)

    async def _whole(self, ask: Callable[[Call], Awaitable[T]], call: Call) -> T:
        made = 0
        while True:
            made += 1
            self._calls.count()
            try:
                return await ask(call)
            except InvokeqError as error:
                failure = error
            await self._calls.failed(failure, ModelRef(self.name, call.model), made)
