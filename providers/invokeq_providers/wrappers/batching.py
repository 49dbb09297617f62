"""Joins what several callers ask at the same time into shared calls of one model.

Promises. An ask is answered with its own part of a shared call, whatever else is in it. Asks of one
key are taken in the order in which they came. A shared call holds no more than its limit, unless it
is one ask alone, which is never cut. An ask waits for company for `wait_s` at most, and not at all
once its call is full; where the model takes one call at a time, those that come meanwhile go
together in the next. Whoever is cancelled leaves, and disturbs nobody; when all have left, the call
is cancelled. When a shared call fails by what one of its asks may have caused, each is made alone.

It does not promise company, and makes no call again that failed for another reason.
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
    """One caller's part; `until` is the loop's time at which it goes with or without company."""

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
    """A call on its way, and whose it is."""

    calls: list[_PendingCall[CallT, ResultT]]
    task: "asyncio.Task[Sequence[ResultT]]"


@dataclass(slots=True)
class _Queue(Generic[CallT, ResultT]):
    """What is asked under one key; `wake` is when the next look at it is due."""

    waiting: deque[_PendingCall[CallT, ResultT]] = field(
        default_factory=deque[_PendingCall[CallT, ResultT]]
    )
    in_flight: set[_InFlightBatch[CallT, ResultT]] = field(
        default_factory=set[_InFlightBatch[CallT, ResultT]]
    )
    wake: asyncio.Handle | None = None


class MicroBatcher(Generic[KeyT, CallT, ResultT]):
    """Joins calls into batches, and has `run` answer each batch, in order, or fail as a whole.

    `run` also gets a heartbeat function, which reaches every caller in line. `concurrency` bounds
    the batches of one key in flight; None sets no bound. Not thread-safe.
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
        """Answer an ask of `size`, in a call of at most `limit` with others of the same key."""
        loop = asyncio.get_running_loop()
        own = _PendingCall[CallT, ResultT](
            call, size, limit, heartbeat, loop.time() + self._wait_s, loop.create_future()
        )
        queue = self._queues.setdefault(key, _Queue())
        queue.waiting.append(own)
        if queue.wake is not None:
            queue.wake.cancel()
        # Not now: whoever is about to ask in this turn of the loop goes with it.
        queue.wake = loop.call_soon(self._start, key)
        try:
            return await own.result
        finally:
            self._withdraw(key, own)

    def _start(self, key: KeyT) -> None:
        """Make the calls that are due."""
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
            log.debug("%d calls of %s share one", len(calls), key)
        batch.task.add_done_callback(partial(self._finish, key, batch))

    async def _call(
        self, queue: _Queue[CallT, ResultT], calls: list[_PendingCall[CallT, ResultT]]
    ) -> Sequence[ResultT]:
        def heartbeat() -> None:
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
        """Hand out what came of a call, and make the next."""
        queue = self._queues[key]
        queue.in_flight.discard(batch)
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
                # Whoever fails signs the error with what is its own.
                own = copy.copy(error)
                own.__cause__ = error
                pending.result.set_exception(own)
        else:
            for pending in reversed(calls):
                pending.alone, pending.batch = True, None
                queue.waiting.appendleft(pending)

    def _withdraw(self, key: KeyT, own: _PendingCall[CallT, ResultT]) -> None:
        """See to it that nothing is done for nobody."""
        if own.batch is not None:
            if all(pending.result.done() for pending in own.batch.calls):
                own.batch.task.cancel()
            return
        queue = self._queues.get(key)
        if queue is not None and own in queue.waiting:
            queue.waiting.remove(own)
            self._start(key)


def split_exactly(total: int, weights: Sequence[int]) -> list[int]:
    """Deal whole units by weight; the sum of the parts is the total."""
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
    """Give the asks of the next call, and whether no more can come with them."""
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
