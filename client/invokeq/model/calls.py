"""What all calls of `session.model.*` share: a checked request goes in, an invocation comes out."""

from typing import TypeVar

from invokeq.async_invocation import AsyncInvocation
from invokeq.connection import AsyncBroker, Broker
from invokeq.core.answers import Shape
from invokeq.core.directory import Directory
from invokeq.core.enqueue import Prepared, prepare, submit
from invokeq.core.options import CallOptions, SessionOptions
from invokeq.core.reading import submitted_reader
from invokeq.invocation import Invocation
from invokeq.protocol.requests import Request

Item = TypeVar("Item")
Result = TypeVar("Result")


class Calls:
    """One kind of call, over blocking sockets."""

    def __init__(self, broker: Broker, directory: Directory, options: SessionOptions) -> None:
        self._broker = broker
        self._directory = directory
        self._options = options

    def _prepare(self, request: Request, file: bytes | None = None) -> Prepared:
        return prepare(self._options, request, file)

    def _start(
        self, prepared: Prepared, call: CallOptions, shape: Shape[Item, Result]
    ) -> Invocation[Item, Result]:
        submitted = self._broker.run(submit(self._options, self._directory, prepared, call))
        reader = submitted_reader(self._options, submitted, call)
        return Invocation(self._broker, reader, shape, detached=call.detached)

    def _result(self, prepared: Prepared, call: CallOptions, shape: Shape[Item, Result]) -> Result:
        with self._start(prepared, call, shape) as invocation:
            return invocation.result()


class AsyncCalls:
    """One kind of call, on asyncio."""

    def __init__(self, broker: AsyncBroker, directory: Directory, options: SessionOptions) -> None:
        self._broker = broker
        self._directory = directory
        self._options = options

    def _prepare(self, request: Request, file: bytes | None = None) -> Prepared:
        return prepare(self._options, request, file)

    async def _start(
        self, prepared: Prepared, call: CallOptions, shape: Shape[Item, Result]
    ) -> AsyncInvocation[Item, Result]:
        submitted = await self._broker.run(submit(self._options, self._directory, prepared, call))
        reader = submitted_reader(self._options, submitted, call)
        return AsyncInvocation(self._broker, reader, shape, detached=call.detached)

    async def _result(
        self, prepared: Prepared, call: CallOptions, shape: Shape[Item, Result]
    ) -> Result:
        async with await self._start(prepared, call, shape) as invocation:
            return await invocation.result()
