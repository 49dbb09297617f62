"""The base of all calls of `session.model.*`: submit a checked call, read the invocation."""

from collections.abc import AsyncGenerator, Generator
from typing import Any, Generic, TypeVar

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.operations.call import Call, build_call
from invokeq.operations.directory import Directory
from invokeq.operations.enqueue import SubmitResult, submit
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.operations.plan import Plan
from invokeq.operations.reader import submitted_reader
from invokeq.protocol.requests import CallRequest
from invokeq.results.decode import ResultDecoder
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.blocking import Transport

TransportT = TypeVar("TransportT")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Preparing:
    """The part of a kind common to the sync and the async face: from arguments to a `Call`."""

    _options: SessionOptions

    def _call(
        self,
        request: CallRequest,
        options: CallOptions,
        decoder: ResultDecoder[Item, Result],
        file: bytes | None = None,
    ) -> Call[Item, Result]:
        return build_call(self._options, request, options, decoder, file)


class BaseCalls(Preparing, Generic[TransportT]):
    """The loop-free part of the calls of one kind."""

    def __init__(
        self, transport: TransportT, directory: Directory, options: SessionOptions
    ) -> None:
        self._transport = transport
        self._directory = directory
        self._options = options

    def _submit(self, call: Call[Any, Any]) -> Plan[SubmitResult]:
        return submit(self._options, self._directory, call)


class Calls(BaseCalls[Transport]):
    """The calls of one kind, over blocking sockets."""

    def _start(self, call: Call[Item, Result]) -> Invocation[Item, Result]:
        submitted = self._transport.run(self._submit(call))
        return read_submitted(self._transport, self._options, call, submitted)

    def _result(self, call: Call[Any, Result]) -> Result:
        with self._start(call) as invocation:
            return invocation.result()

    def _stream(self, call: Call[Item, Any]) -> Generator[Item, None, None]:
        # The `with` cancels at the vendor when the caller drops the generator half way.
        with self._start(call) as invocation:
            yield from invocation


class AsyncCalls(BaseCalls[AsyncTransport]):
    """The calls of one kind, on asyncio."""

    async def _start(self, call: Call[Item, Result]) -> AsyncInvocation[Item, Result]:
        submitted = await self._transport.run(self._submit(call))
        return read_submitted_async(self._transport, self._options, call, submitted)

    async def _result(self, call: Call[Any, Result]) -> Result:
        async with await self._start(call) as invocation:
            return await invocation.result()

    async def _stream(self, call: Call[Item, Any]) -> AsyncGenerator[Item, None]:
        async with await self._start(call) as invocation:
            async for item in invocation:
                yield item


def read_submitted(
    transport: Transport, options: SessionOptions, call: Call[Item, Result], submitted: SubmitResult
) -> Invocation[Item, Result]:
    """Return the handle of a submitted call."""
    reader = submitted_reader(options, submitted, call.options)
    return Invocation(transport, reader, call.decoder, detached=call.options.detached)


def read_submitted_async(
    transport: AsyncTransport,
    options: SessionOptions,
    call: Call[Item, Result],
    submitted: SubmitResult,
) -> AsyncInvocation[Item, Result]:
    """Return the asyncio handle of a submitted call."""
    reader = submitted_reader(options, submitted, call.options)
    return AsyncInvocation(transport, reader, call.decoder, detached=call.options.detached)
