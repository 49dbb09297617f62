"""`AsyncSession`: the same session for asyncio; see `invokeq.session`."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from invokeq.async_invocation import AsyncInvocation, wait_told
from invokeq.keeper import keeper_of
from invokeq.models.calls import read_submitted_async, taking_back_async
from invokeq.models.models import AsyncModels
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import LiveWorker
from invokeq.operations.enqueue import PendingJob
from invokeq.operations.submit_many import submit_many
from invokeq.protocol.requests import CallRequest
from invokeq.session_base import BaseSession, SessionParts
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.cluster import open_async_transport


class AsyncSession(BaseSession[AsyncTransport, AsyncModels]):
    """Calls models for a plugin, on one event loop. Arguments as for `Session`."""

    async def submit_many(
        self, calls: Iterable[Call[Item, Result]]
    ) -> list[AsyncInvocation[Item, Result]]:
        """Enqueue calls of any kinds, all or none; see `Session.submit_many`.

        When the task is cancelled meanwhile, the calls that were submitted are taken back.
        """
        listed = list(calls)
        transport, directory, options = self._parts
        begun: list[PendingJob] = []
        with taking_back_async(transport, begun):
            submitted = await transport.run(submit_many(options, directory, listed, begun))
            handles = [
                read_submitted_async(transport, options, call, result)
                for call, result in zip(listed, submitted, strict=True)
            ]
        for handle in handles:
            handle.keep()
        return handles

    def attach(
        self, request_id: str, after: str | None = None, *, request: CallRequest | None = None
    ) -> AsyncInvocation[Any, Any]:
        """Read a submitted invocation; see `Session.attach`."""
        # Not async: the first round trip is the first read, so an unknown id fails there.
        reader, decoder = self._attached(request_id, after, request)
        return AsyncInvocation(self._parts.transport, reader, decoder, detached=True)

    async def workers(self) -> tuple[LiveWorker, ...]:
        """Return the live workers, with models. At most two round trips; none while fresh."""
        return await self._parts.transport.run(self._parts.directory.workers())

    async def close(self) -> None:
        """Cancel the open handles that are not detached, and close the connections."""
        for told in keeper_of(self._parts.transport).leave_all():
            await wait_told(told)
        await self._parts.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _open_transport(self, redis: str | None) -> AsyncTransport:
        return open_async_transport(redis)

    def _new_models(self, parts: SessionParts[AsyncTransport]) -> AsyncModels:
        return AsyncModels(*parts)
