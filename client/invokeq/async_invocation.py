"""The same invocation for asyncio; see `invokeq.invocation` for the promises."""

import contextlib
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Generic, Self, TypeVar

from invokeq.invocation_base import BaseInvocation, Item, Result
from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.operations.plan import Plan
from invokeq.protocol.errors import BrokerUnavailableError, InvokeqError
from invokeq.transport.aio import AsyncTransport

T = TypeVar("T")


class AsyncInvocation(BaseInvocation[AsyncTransport, Item, Result], Generic[Item, Result]):
    """A submitted invocation, iterable once; made by `await submit(...)` and
    `AsyncSession.attach(...)`."""

    _items: AsyncGenerator[Item, None] | None = None

    def __aiter__(self) -> AsyncGenerator[Item, None]:
        if self._items is None:
            self._items = self._read()
        return self._items

    async def result(self) -> Result:
        """Read to the end and return the whole result; raises the error of a bad end.

        If the beginning was read before, or skipped by `attach(after=...)`, the result of text and
        speech is the rest; vectors and rankings raise PartialAnswerError.
        """
        items = [item async for item in self]
        return self._decoder.result_of(iter(items))

    async def cancel(self) -> bool:
        """Stop the invocation, queued or running; return False if already ended."""
        return await self._run(control.cancel(self.request_id))

    async def detach(self) -> None:
        """Let the invocation run on without a reader.

        Others can attach until ten minutes after the end.
        """
        self._detach()
        await self._run(control.detach(self.request_id))

    async def status(self) -> InvocationStatus:
        """Return where the invocation stands."""
        return await self._run(control.status(self.request_id))

    async def close(self) -> None:
        """End the reading; cancels a running invocation, unless detached."""
        if self._items is not None:
            await self._items.aclose()
        # Without a first `next()` the generator never ran, and neither did its `finally`.
        await self._leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _read(self) -> AsyncGenerator[Item, None]:
        try:
            while not self._reader.state.ended:
                for event in await self._run(self._reader.next_events()):
                    item = self._decode(event)
                    if item is not None:
                        yield item
                    if self._reader.taken(event):
                        await self._run(self._reader.renew())
        except InvokeqError as error:
            self._add_request_id(error)
            raise
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._stop_reading():
            # Without Redis there is no way to cancel now: the lapse of the lease will cancel.
            with contextlib.suppress(BrokerUnavailableError):
                await self._run(control.cancel(self.request_id))

    async def _run(self, plan: Plan[T]) -> T:
        return await self._transport.run(plan)
