"""What all calls of `session.model.*` share: a checked call goes in, an invocation comes out."""

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from invokeq.async_invocation import AsyncInvocation
from invokeq.invocation import Invocation
from invokeq.operations.call import Call, build_call
from invokeq.operations.directory import Directory
from invokeq.operations.enqueue import SubmitResult, submit
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.operations.reader import submitted_reader
from invokeq.protocol.requests import Request
from invokeq.results.decode import ResultDecoder
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.blocking import Transport

Item = TypeVar("Item")
Result = TypeVar("Result")


class Preparing:
    """What the sync and the async face of a kind share: its arguments, made into a `Call`."""

    _options: SessionOptions

    def _call(
        self,
        request: Request,
        options: CallOptions,
        decoder: ResultDecoder[Item, Result],
        file: bytes | None = None,
    ) -> Call[Item, Result]:
        return build_call(self._options, request, options, decoder, file)


class Calls(Preparing):
    """One kind of call, over blocking sockets."""

    def __init__(self, transport: Transport, directory: Directory, options: SessionOptions) -> None:
        self._transport = transport
        self._directory = directory
        self._options = options

    def _start(self, call: Call[Item, Result]) -> Invocation[Item, Result]:
        submitted = self._transport.run(submit(self._options, self._directory, call))
        return read_submitted(self._transport, self._options, call, submitted)

    def _result(self, call: Call[Any, Result]) -> Result:
        with self._start(call) as invocation:
            return invocation.result()

    def _stream(self, call: Call[Item, Any]) -> Generator[Item, None, None]:
        with self._start(call) as invocation:
            yield from invocation


class AsyncCalls(Preparing):
    """One kind of call, on asyncio."""

    def __init__(
        self, transport: AsyncTransport, directory: Directory, options: SessionOptions
    ) -> None:
        self._transport = transport
        self._directory = directory
        self._options = options

    async def _start(self, call: Call[Item, Result]) -> AsyncInvocation[Item, Result]:
        submitted = await self._transport.run(submit(self._options, self._directory, call))
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
    """Give the handle of a call that is in its lane."""
    reader = submitted_reader(options, submitted, call.options)
    return Invocation(transport, reader, call.decoder, detached=call.options.detached)


def read_submitted_async(
    transport: AsyncTransport,
    options: SessionOptions,
    call: Call[Item, Result],
    submitted: SubmitResult,
) -> AsyncInvocation[Item, Result]:
    """As `read_submitted`, on asyncio."""
    reader = submitted_reader(options, submitted, call.options)
    return AsyncInvocation(transport, reader, call.decoder, detached=call.options.detached)
