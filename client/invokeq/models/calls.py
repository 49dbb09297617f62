"""The base of all calls of `session.model.*`: submit a checked call, read the invocation."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from invokeq.async_invocation import AsyncInvocation, AsyncItemStream
from invokeq.invocation import Invocation, ItemStream
from invokeq.keeper import keeper_of
from invokeq.operations.answer_log import KEPT_BYTES
from invokeq.operations.call import Call, build_call
from invokeq.operations.directory import Directory
from invokeq.operations.enqueue import PendingJob, SubmitResult, submit, withdraw_or_cancel
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.operations.plan import Plan, gather_plans
from invokeq.operations.reader import submitted_reader
from invokeq.protocol.errors import InvokeqError
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

    def _submit(self, call: Call[Any, Any], begun: list[PendingJob]) -> Plan[SubmitResult]:
        return submit(self._options, self._directory, call, begun)


class Calls(BaseCalls[Transport]):
    """The calls of one kind, over blocking sockets."""

    def _start(self, call: Call[Item, Result]) -> Invocation[Item, Result]:
        """Submit a call, and return a handle that is kept alive."""
        invocation = self._open(call, KEPT_BYTES)
        invocation.keep()
        return invocation

    def _result(self, call: Call[Any, Result]) -> Result:
        with self._open(call) as invocation:
            return invocation.result()

    def _stream(self, call: Call[Item, Any]) -> Generator[Item, None, None]:
        return ItemStream(partial(self._open, call))

    def _open(self, call: Call[Item, Result], kept_bytes: int = 0) -> Invocation[Item, Result]:
        """Submit a call; when that is interrupted, the call is taken back."""
        begun: list[PendingJob] = []
        with taking_back(self._transport, begun):
            submitted = self._transport.run(self._submit(call, begun))
            return read_submitted(self._transport, self._options, call, submitted, kept_bytes)


class AsyncCalls(BaseCalls[AsyncTransport]):
    """The calls of one kind, on asyncio."""

    async def _start(self, call: Call[Item, Result]) -> AsyncInvocation[Item, Result]:
        """Submit a call, and return a handle that is kept alive."""
        invocation = await self._open(call, KEPT_BYTES)
        invocation.keep()
        return invocation

    async def _result(self, call: Call[Any, Result]) -> Result:
        async with await self._open(call) as invocation:
            return await invocation.result()

    def _stream(self, call: Call[Item, Any]) -> AsyncGenerator[Item, None]:
        return AsyncItemStream(partial(self._open, call))

    async def _open(
        self, call: Call[Item, Result], kept_bytes: int = 0
    ) -> AsyncInvocation[Item, Result]:
        """Submit a call; when that is interrupted, the call is taken back."""
        begun: list[PendingJob] = []
        with taking_back_async(self._transport, begun):
            submitted = await self._transport.run(self._submit(call, begun))
            return read_submitted_async(self._transport, self._options, call, submitted, kept_bytes)


@contextmanager
def taking_back(transport: Transport, begun: list[PendingJob]) -> Generator[None]:
    """Take the jobs back whose submission ends in an exception, also in Ctrl-C."""
    try:
        yield
    except BaseException:
        if begun:
            keeper_of(transport).withdraw(begun)
        raise


@contextmanager
def taking_back_async(transport: AsyncTransport, begun: list[PendingJob]) -> Generator[None]:
    """Take the jobs back whose submission ends in an exception, also in a cancel."""
    try:
        yield
    except BaseException:
        if begun:
            _take_back_later(transport, begun)
        raise


def _take_back_later(transport: AsyncTransport, begun: list[PendingJob]) -> None:
    # Race: the push may be on its way. Over the same connection this comes after the push; the
    # keeper's connection could be faster, and would find nothing. No await here, and a task of its
    # own: what has cancelled the submission must not cancel this.
    task = asyncio.get_running_loop().create_task(_take_back(transport, begun))
    _taking_back.add(task)
    task.add_done_callback(_taking_back.discard)


async def _take_back(transport: AsyncTransport, begun: list[PendingJob]) -> None:
    try:
        await transport.run(gather_plans([withdraw_or_cancel(job) for job in begun]))
    except BaseException as error:
        keeper_of(transport).withdraw(begun)
        if not isinstance(error, InvokeqError):
            raise


_taking_back: set["asyncio.Task[None]"] = set()
"""Keeps the tasks from being collected before they have run."""


def read_submitted(
    transport: Transport,
    options: SessionOptions,
    call: Call[Item, Result],
    submitted: SubmitResult,
    kept_bytes: int = KEPT_BYTES,
) -> Invocation[Item, Result]:
    """Return the handle of a submitted call."""
    reader = submitted_reader(options, submitted, call.options)
    detached = call.options.detached
    return Invocation(transport, reader, call.decoder, detached=detached, kept_bytes=kept_bytes)


def read_submitted_async(
    transport: AsyncTransport,
    options: SessionOptions,
    call: Call[Item, Result],
    submitted: SubmitResult,
    kept_bytes: int = KEPT_BYTES,
) -> AsyncInvocation[Item, Result]:
    """Return the asyncio handle of a submitted call."""
    reader = submitted_reader(options, submitted, call.options)
    detached = call.options.detached
    return AsyncInvocation(
        transport, reader, call.decoder, detached=detached, kept_bytes=kept_bytes
    )
