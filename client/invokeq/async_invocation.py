"""The same invocation for asyncio; see `invokeq.invocation` for what it promises."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.operations.history import VendorRetry, retry_of
from invokeq.operations.plan import Plan
from invokeq.operations.reader import Reader
from invokeq.protocol.errors import BrokerUnavailableError, InvokeqError
from invokeq.protocol.events import TERMINAL, EventKind
from invokeq.protocol.usage import Usage
from invokeq.results.decode import ResultDecoder, usage_of
from invokeq.transport.aio import AsyncTransport

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")


class AsyncInvocation(Generic[Item, Result]):
    """A submitted invocation, iterable once; made by `await submit(...)` and
    `AsyncSession.attach(...)`."""

    def __init__(
        self,
        transport: AsyncTransport,
        reader: Reader,
        decoder: ResultDecoder[Item, Result],
        *,
        detached: bool,
    ) -> None:
        self._transport = transport
        self._reader = reader
        self._decoder = decoder
        self._detached = detached
        self._items: AsyncGenerator[Item, None] | None = None
        self._seen = reader.state.last
        self._usage: Usage | None = None
        self._tell_retry: Callable[[VendorRetry], object] | None = None

    @property
    def request_id(self) -> str:
        """The id under which anybody who knows it can attach."""
        return self._reader.request_id

    @property
    def last_id(self) -> str:
        """Id of the last event that the caller has taken; pass it to `attach(after=...)` to go
        on."""
        return str(self._seen)

    @property
    def usage(self) -> Usage | None:
        """What it took of tokens and money, once it has been read to its end.

        None before that, and where nobody knows. Of a cancelled one, what is known until then.
        """
        return self._usage

    def __aiter__(self) -> AsyncGenerator[Item, None]:
        if self._items is None:
            self._items = self._read()
        return self._items

    async def result(self) -> Result:
        """Read to the end and give the whole; raises what ended the invocation badly.

        Of text and speech whose beginning was read before, or left out by `attach(after=...)`, it
        is the rest; of vectors and rankings that is a PartialAnswerError.
        """
        items = [item async for item in self]
        return self._decoder.result_of(iter(items))

    def on_retry(self, tell: Callable[[VendorRetry], object]) -> None:
        """Have `tell` hear of each vendor call that failed, when the reading comes to it; the items
        say nothing of them."""
        self._tell_retry = tell

    async def cancel(self) -> bool:
        """Stop it wherever it is; false if it had ended already."""
        return await self._run(control.cancel(self.request_id))

    async def detach(self) -> None:
        """Let it run on without a reader; its stream can be attached to for ten minutes after its
        end."""
        self._detached = True
        self._reader.let_go()
        await self._run(control.detach(self.request_id))

    async def status(self) -> InvocationStatus:
        """Look at where it stands."""
        return await self._run(control.status(self.request_id))

    async def close(self) -> None:
        """End the reading; cancels what still runs, unless it is detached."""
        if self._items is not None:
            await self._items.aclose()
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
                    if event.kind in TERMINAL:
                        self._usage = usage_of(event)
                    elif event.kind is EventKind.RETRY and self._tell_retry is not None:
                        self._tell_retry(retry_of(event))
                    item = self._decoder.item_of(event)
                    self._seen = event.id
                    if item is not None:
                        yield item
                    if self._reader.taken(event):
                        await self._run(self._reader.renew())
        except InvokeqError as error:
            error.request_id = error.request_id or self.request_id
            raise
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if not self._reader.state.ended and not self._detached:
            self._reader.state.ended = True
            with contextlib.suppress(BrokerUnavailableError):  # then the lease lapses and does it
                await self._run(control.cancel(self.request_id))

    async def _run(self, plan: Plan[T]) -> T:
        return await self._transport.run(plan)
