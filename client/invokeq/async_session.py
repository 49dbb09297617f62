"""The same session for asyncio; see `invokeq.session`."""

from collections.abc import Iterable
from copy import copy
from types import TracebackType
from typing import Any, Self

from invokeq.async_invocation import AsyncInvocation
from invokeq.models.calls import read_submitted_async
from invokeq.models.llm import AsyncLLM
from invokeq.models.llm_structured_output import AsyncLLMStructuredOutput
from invokeq.models.moderation import AsyncModeration
from invokeq.models.rerank import AsyncRerank
from invokeq.models.speech2text import AsyncSpeech2Text
from invokeq.models.summary import AsyncSummary
from invokeq.models.text_embedding import AsyncTextEmbedding
from invokeq.models.tts import AsyncTTS
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import Directory, LiveWorker
from invokeq.operations.options import (
    MAX_FILE_BYTES,
    MAX_REQUEST_BYTES,
    ORPHAN_TIMEOUT,
    PICKUP_TIMEOUT,
    SessionOptions,
)
from invokeq.operations.reader import attached_reader
from invokeq.operations.submit_many import submit_many
from invokeq.results.decode import ANY
from invokeq.transport.cluster import open_async_transport


class AsyncModels:
    """`session.model`: one attribute a model type."""

    def __init__(self, session: "AsyncSession") -> None:
        calls = (session.transport, session.directory, session.options)
        self.llm = AsyncLLM(*calls)
        self.llm_structured_output = AsyncLLMStructuredOutput(*calls)
        self.moderation = AsyncModeration(*calls)
        self.rerank = AsyncRerank(*calls)
        self.speech2text = AsyncSpeech2Text(*calls)
        self.summary = AsyncSummary(*calls)
        self.text_embedding = AsyncTextEmbedding(*calls)
        self.tts = AsyncTTS(*calls)


class AsyncSession:
    """A plugin's door to the models, for one event loop. Arguments as for `Session`."""

    def __init__(
        self,
        plugin_id: str,
        tenant_id: str | None = None,
        user_id: str | None = None,
        *,
        redis: str | None = None,
        pickup_timeout: float = PICKUP_TIMEOUT,
        orphan_timeout: float = ORPHAN_TIMEOUT,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self.options = SessionOptions(
            plugin_id=plugin_id,
            tenant_id=tenant_id,
            user_id=user_id,
            pickup_timeout=pickup_timeout,
            orphan_timeout=orphan_timeout,
            max_request_bytes=max_request_bytes,
            max_file_bytes=max_file_bytes,
        )
        self.transport = open_async_transport(redis)
        self.directory = Directory()
        self.model = AsyncModels(self)

    def on_behalf_of(
        self, plugin_id: str, tenant_id: str | None = None, user_id: str | None = None
    ) -> Self:
        """Give a session of another sender; see `Session.on_behalf_of`."""
        spoken = copy(self)
        spoken.options = self.options.on_behalf_of(plugin_id, tenant_id, user_id)
        spoken.model = type(self.model)(spoken)
        return spoken

    async def submit_many(
        self, calls: Iterable[Call[Item, Result]]
    ) -> list[AsyncInvocation[Item, Result]]:
        """Enqueue calls of any kinds, all or none; see `Session.submit_many`.

        When the task is cancelled meanwhile, what was submitted lapses with its leases; what is
        detached runs on.
        """
        listed = list(calls)
        done = await self.transport.run(submit_many(self.options, self.directory, listed))
        return [
            read_submitted_async(self.transport, self.options, call, submitted)
            for call, submitted in zip(listed, done, strict=True)
        ]

    def attach(self, request_id: str, after: str | None = None) -> AsyncInvocation[Any, Any]:
        """Read an invocation that somebody submitted; see `Session.attach`."""
        reader = attached_reader(self.options, request_id, after)
        return AsyncInvocation(self.transport, reader, ANY, detached=True)

    async def workers(self) -> tuple[LiveWorker, ...]:
        """List the live workers with what they serve."""
        return await self.transport.run(self.directory.workers())

    async def close(self) -> None:
        """Close the connections; what runs goes on until its reader's lease lapses."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
