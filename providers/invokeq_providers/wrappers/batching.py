"""Micro-batching: concurrent calls of several callers share one call of the model.

Promises:

* each caller gets exactly the caller's own part of a shared call;
* calls of one key are taken in order of arrival;
* a shared call stays within the limit; one oversized call goes alone, and is never cut;
* a call waits for company for `wait_s` seconds at most, and not at all once the batch is full;
* with bounded concurrency, calls that arrive meanwhile go together in the next batch;
* a cancelled caller leaves without effect on others; without callers the batch is cancelled;
* after a failure that one call may have caused, every call of the batch is made again, alone.

Not promised: company. Failures of the vendor or the connection are not retried here.
"""

import asyncio
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, Generic, TypeVar

from invokeq.protocol.errors import (
    ConfigurationError,
    InternalError,
    InvocationCancelledError,
    InvocationTimeoutError,
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
)

# Failures that no single call of a batch can have caused: making each call alone would not help.
_SHARED_FAILURES: Final = (
    ConfigurationError,
    InvocationCancelledError,
    InvocationTimeoutError,
    ProviderUnavailableError,
    RateLimitedError,
)

KeyT = TypeVar("KeyT", bound=Hashable)
CallT = TypeVar("CallT")
ResultT = TypeVar("ResultT")

log: Final = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _PendingCall(Generic[CallT, ResultT]):
    """One caller's part; `until` is the latest start, in seconds of the loop's clock."""

    call: CallT
    size: int
    limit: int
    heartbeat: Callable[[], None]
    until: float
    result: "asyncio.Future[ResultT]"
    alone: bool = False
    batch: "_InFlightBatch[CallT, ResultT] | None" = None


@dataclass(eq=False, slots=True)
class _InFlightBatch(Generic[CallT, ResultT]):
    """A shared call on the way to the vendor, with the calls of all callers."""

    calls: list[_PendingCall[CallT, ResultT]]
    task: "asyncio.Task[Sequence[ResultT]]"


@dataclass(slots=True)
class _Queue(Generic[CallT, ResultT]):
    """Calls of one key; `wake` is the timer of the next `_start`."""

    waiting: deque[_PendingCall[CallT, ResultT]] = field(
        default_factory=deque[_PendingCall[CallT, ResultT]]
    )
    in_flight: set[_InFlightBatch[CallT, ResultT]] = field(
        default_factory=set[_InFlightBatch[CallT, ResultT]]
    )
    wake: asyncio.Handle | None = None


class MicroBatcher(Generic[KeyT, CallT, ResultT]):
    """Joins calls into batches. `run` answers a batch in order, or fails as a whole.

    `run` also gets a heartbeat function for all callers of the batch and of the queue.
    `concurrency` bounds the batches of one key in flight; None means no bound. Not thread-safe.
    """

    def __init__(
        self,
        run: Callable[[Sequence[CallT], Callable[[], None]], Awaitable[Sequence[ResultT]]],
        *,
        concurrency: int | None = None,
        wait_s: float = 0.0,
    ) -> None:
        self._run = run
        self._concurrency = concurrency
        self._wait_s = wait_s
        self._queues: dict[KeyT, _Queue[CallT, ResultT]] = {}

    async def submit(
        self, key: KeyT, call: CallT, *, size: int, limit: int, heartbeat: Callable[[], None]
    ) -> ResultT:
        """Return the result of a call of `size`, made in a batch of at most `limit`.

        `size` and `limit` count texts, or other units of the caller. Raises the errors of `run`.
        """
        loop = asyncio.get_running_loop()
        own = _PendingCall[CallT, ResultT](
            call, size, limit, heartbeat, loop.time() + self._wait_s, loop.create_future()
        )
        queue = self._queues.setdefault(key, _Queue())
        queue.waiting.append(own)
        if queue.wake is not None:
            queue.wake.cancel()
        # Not now: callers that submit in the same turn of the loop join the batch.
        queue.wake = loop.call_soon(self._start, key)
        try:
            return await own.result
        finally:
            self._withdraw(key, own)

    def _start(self, key: KeyT) -> None:
        """Start the batches that are due."""
        queue = self._queues[key]
        if queue.wake is not None:
            queue.wake.cancel()
            queue.wake = None
        loop = asyncio.get_running_loop()
        while queue.waiting and (
            self._concurrency is None or len(queue.in_flight) < self._concurrency
        ):
            calls, full = _next_call(queue.waiting)
            if not full and loop.time() < calls[0].until:
                queue.wake = loop.call_at(calls[0].until, self._start, key)
                return
            for _ in calls:
                queue.waiting.popleft()
            self._send(key, queue, calls)
        if not queue.waiting and not queue.in_flight:
            del self._queues[key]

    def _send(
        self, key: KeyT, queue: _Queue[CallT, ResultT], calls: list[_PendingCall[CallT, ResultT]]
    ) -> None:
        batch = _InFlightBatch(calls, asyncio.create_task(self._call(queue, calls)))
        for pending in calls:
            pending.batch = batch
        queue.in_flight.add(batch)
        if len(calls) > 1:
            log.debug("calls coalesced calls=%d key=%s", len(calls), key)
        batch.task.add_done_callback(partial(self._finish, key, batch))

    async def _call(
        self, queue: _Queue[CallT, ResultT], calls: list[_PendingCall[CallT, ResultT]]
    ) -> Sequence[ResultT]:
        def heartbeat() -> None:
            # Waiting calls get heartbeats too: a model busy with this batch is no silent vendor.
            for pending in (*calls, *queue.waiting):
                if not pending.result.done():
                    pending.heartbeat()

        results = await self._run([pending.call for pending in calls], heartbeat)
        if len(results) != len(calls):
            raise InternalError(detail=f"{len(results)} results of {len(calls)} calls")
        return results

    def _finish(
        self,
        key: KeyT,
        batch: _InFlightBatch[CallT, ResultT],
        task: "asyncio.Task[Sequence[ResultT]]",
    ) -> None:
        """Deliver the results of a batch, and start the next batch."""
        queue = self._queues[key]
        queue.in_flight.discard(batch)
        # Callers may have been cancelled while the batch ran: a done future takes no result.
        calls = [(i, pending) for i, pending in enumerate(batch.calls) if not pending.result.done()]
        if task.cancelled():
            for _, pending in calls:
                pending.result.cancel()
        elif error := task.exception():
            self._fail_batch(
                queue, [pending for _, pending in calls], error, shared=len(batch.calls) > 1
            )
        else:
            for i, pending in calls:
                pending.result.set_result(task.result()[i])
        self._start(key)

    @staticmethod
    def _fail_batch(
        queue: _Queue[CallT, ResultT],
        calls: list[_PendingCall[CallT, ResultT]],
        error: BaseException,
        *,
        shared: bool,
    ) -> None:
        if not shared:
            for pending in calls:
                pending.result.set_exception(error)
        elif isinstance(error, InvokeqError) and isinstance(error, _SHARED_FAILURES):
            for pending in calls:
                # A copy for each caller: callers write their own fields into the error.
                own = copy.copy(error)
                own.__cause__ = error
                pending.result.set_exception(own)
        else:
            # Back to the front, in the old order: the calls keep their place before later ones.
            for pending in reversed(calls):
                pending.alone, pending.batch = True, None
                queue.waiting.appendleft(pending)

    def _withdraw(self, key: KeyT, own: _PendingCall[CallT, ResultT]) -> None:
        """Remove a call that has ended; cancel the batch once no caller waits."""
        # Cancelling one caller ends only the future of that caller. The batch goes on until every
        # future is done; cancelling a finished task has no effect.
        if own.batch is not None:
            if all(pending.result.done() for pending in own.batch.calls):
                own.batch.task.cancel()
            return
        queue = self._queues.get(key)
        if queue is not None and own in queue.waiting:
            queue.waiting.remove(own)
            self._start(key)


def split_exactly(total: int, weights: Sequence[int]) -> list[int]:
    """Return the total split into whole parts by weight; the parts add up to the total."""
    whole = sum(weights)
    parts: list[int] = []
    before = seen = 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        parts.append(upto - before)
        before = upto
    return parts


def _next_call(
    waiting: deque[_PendingCall[CallT, ResultT]],
) -> tuple[list[_PendingCall[CallT, ResultT]], bool]:
    """Return the calls of the next batch, and whether the batch is full."""
    first = waiting[0]
    calls, size = [first], first.size
    full = first.alone or size >= first.limit
    for pending in islice(waiting, 1, None):
        if full:
            break
        full = pending.alone or size + pending.size > first.limit
        if not full:
            calls.append(pending)
            size += pending.size
            full = size >= first.limit
    return calls, full
