"""The same invocation for asyncio; see `invokeq.invocation` for the promises."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

from invokeq.invocation_base import END, BaseInvocation, Item, Result
from invokeq.keeper import EXIT_SECONDS
from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.operations.plan import Plan
from invokeq.transport.aio import AsyncTransport

T = TypeVar("T")

RENEWAL_POLL: Final = 0.002
"""Seconds between looks at a renewal by the keeper, which takes one round trip."""


class AsyncInvocation(BaseInvocation[AsyncTransport, Item, Result], Generic[Item, Result]):
    """A submitted invocation; made by `await submit(...)` and `AsyncSession.attach(...)`.

    As `Invocation`: may be iterated again, by one task at a time.
    """

    def __aiter__(self) -> AsyncGenerator[Item, None]:
        async def opened() -> AsyncInvocation[Item, Result]:
            return self

        return AsyncItemStream(opened)

    async def result(self) -> Result:
        """Read to the end and return the whole result; raises the error of a bad end.

        The second time the same result is returned. For text and speech whose beginning was left
        out by `attach(after=...)`, the result is the rest; for vectors and rankings that is a
        PartialAnswerError.
        """
        if self._results:
            return self._results[0]
        items = self._items_before()
        while True:
            item = await self._item(self._log.count)
            if item is END:
                return self._result_of(items)
            items.append(cast(Item, item))

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
        """End the reading, also in another task; cancels unless detached or at its end.

        What was read can be read again; then InvocationCancelledError follows.
        """
        told = self._leave()
        self._mark_left()
        await wait_told(told)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _item(self, at: int) -> Any:
        """Return item `at`: one that was read before, or the next one; END behind the last."""
        item = self._item_read(at)
        if item is not None:
            return item
        while not self._hold.try_use():  # noqa: ASYNC110 -- the keeper is a thread: no Event
            await asyncio.sleep(RENEWAL_POLL)
        try:
            item = await self._read_item()
        except BaseException as error:
            self._remember_failure(error)
            # No await: a second cancel, or a cancel scope, would cancel the clean-up itself.
            self._leave()
            raise
        finally:
            self._hold.release()
        if item is END:
            self._keeper.forget(self._hold)
        return item

    async def _read_item(self) -> Any:
        if self._take_handed_out():
            await self._run(self._reader.renew())
        while True:
            item = self._next_read()
            if item is not None:
                return item
            if self._reader.is_lease_due:
                await self._run(self._reader.renew())
            if not self._events:
                end = self._item_read(self._log.count)
                if end is END:
                    return END
                self._fetched(await self._run(self._reader.next_events()))

    def _leave(self) -> "Future[None] | None":
        """Cancel unless detached or at the end; the future is done when Redis has been told."""
        told = self._keeper.leave(self._hold)
        if not self._hold.detached:
            self._mark_left()
        return told

    async def _run(self, plan: Plan[T]) -> T:
        return await self._transport.run(plan)


async def wait_told(told: "Future[None] | None") -> None:
    """Wait until Redis has been told that a hold was left, within a bound.

    When the waiting is cancelled, Redis is told all the same.
    """
    if told is not None and not told.done():
        await asyncio.wait([asyncio.wrap_future(told)], timeout=EXIT_SECONDS)


class AsyncItemStream(AsyncGenerator[Item, None]):
    """One iteration over an answer; leaving it before its end cancels, unless detached.

    An asynchronous generator to its caller; unlike a real one it needs no event loop to be dropped.
    """

    def __init__(self, open_: "Callable[[], Awaitable[AsyncInvocation[Item, Any]]]") -> None:
        self._open = open_
        self._invocation: AsyncInvocation[Item, Any] | None = None
        self._at = 0
        self._over = False

    async def __anext__(self) -> Item:
        if self._over:
            raise StopAsyncIteration
        try:
            invocation = self._invocation
            if invocation is None:
                invocation = self._invocation = await self._open()
                if self._over:  # race: closed by another task while the call was submitted
                    await invocation.close()
            item = await invocation._item(self._at)  # pyright: ignore[reportPrivateUsage]: its other half
        except BaseException:
            self._over = True
            raise
        if item is END:
            self._over = True
            raise StopAsyncIteration
        if not self._at:
            invocation.keep()
        self._at += 1
        return item

    async def asend(self, value: None, /) -> Item:
        """Return the next item; an answer takes no values."""
        return await anext(self)

    async def athrow(self, kind: Any, value: Any = None, trace: Any = None, /) -> Item:
        """Leave, and raise the error."""
        await self.aclose()
        raise kind if value is None else value

    async def aclose(self) -> None:
        """Leave: cancel unless detached or at the end."""
        over, self._over = self._over, True
        if not over and self._invocation is not None:
            await wait_told(self._invocation._leave())  # pyright: ignore[reportPrivateUsage]: its other half

    def __del__(self) -> None:
        # Not `aclose`: the garbage collector may run anywhere, also without an event loop.
        invocation = None if self._over else self._invocation
        if invocation is not None:
            invocation._drop()  # pyright: ignore[reportPrivateUsage]: its other half
