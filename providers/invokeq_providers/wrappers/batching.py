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

_NOBODYS_FAULT: Final = (
    ConfigurationError,
    InvocationCancelledError,
    InvocationTimeoutError,
    ProviderUnavailableError,
    RateLimitedError,
)

KeyT = TypeVar("KeyT", bound=Hashable)
AskT = TypeVar("AskT")
AnswerT = TypeVar("AnswerT")

log: Final = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Ask(Generic[AskT, AnswerT]):
    """One caller's part; `until` is the loop's time at which it goes with or without company."""

    ask: AskT
    size: int
    limit: int
    alive: Callable[[], None]
    until: float
    answer: "asyncio.Future[AnswerT]"
    alone: bool = False
    flight: "_Flight[AskT, AnswerT] | None" = None


@dataclass(eq=False, slots=True)
class _Flight(Generic[AskT, AnswerT]):
    """A call on its way, and whose it is."""

    asks: list[_Ask[AskT, AnswerT]]
    task: "asyncio.Task[Sequence[AnswerT]]"


@dataclass(slots=True)
class _Line(Generic[AskT, AnswerT]):
    """What is asked under one key; `wake` is when the next look at it is due."""

    waiting: deque[_Ask[AskT, AnswerT]] = field(default_factory=deque[_Ask[AskT, AnswerT]])
    flights: set[_Flight[AskT, AnswerT]] = field(default_factory=set[_Flight[AskT, AnswerT]])
    wake: asyncio.Handle | None = None


class MicroBatcher(Generic[KeyT, AskT, AnswerT]):
    """Makes calls by `run`, which answers several asks in their order, or fails for all of them.

    `run` gets a function to call as long as it gets on: it tells all who wait. `at_once` bounds the
    calls of one key that run at the same time; None does not. Not thread-safe.
    """

    def __init__(
        self,
        run: Callable[[Sequence[AskT], Callable[[], None]], Awaitable[Sequence[AnswerT]]],
        *,
        at_once: int | None = None,
        wait_s: float = 0.0,
    ) -> None:
        self._run = run
        self._at_once = at_once
        self._wait_s = wait_s
        self._lines: dict[KeyT, _Line[AskT, AnswerT]] = {}

    async def ask(
        self, key: KeyT, ask: AskT, *, size: int, limit: int, alive: Callable[[], None]
    ) -> AnswerT:
        """Answer an ask of `size`, in a call of at most `limit` with others of the same key."""
        loop = asyncio.get_running_loop()
        own = _Ask[AskT, AnswerT](
            ask, size, limit, alive, loop.time() + self._wait_s, loop.create_future()
        )
        line = self._lines.setdefault(key, _Line())
        line.waiting.append(own)
        if line.wake is not None:
            line.wake.cancel()
        # Not now: whoever is about to ask in this turn of the loop goes with it.
        line.wake = loop.call_soon(self._start, key)
        try:
            return await own.answer
        finally:
            self._leave(key, own)

    def _start(self, key: KeyT) -> None:
        """Make the calls that are due."""
        line = self._lines[key]
        if line.wake is not None:
            line.wake.cancel()
            line.wake = None
        loop = asyncio.get_running_loop()
        while line.waiting and (self._at_once is None or len(line.flights) < self._at_once):
            asks, full = _next_call(line.waiting)
            if not full and loop.time() < asks[0].until:
                line.wake = loop.call_at(asks[0].until, self._start, key)
                return
            for _ in asks:
                line.waiting.popleft()
            self._fly(key, line, asks)
        if not line.waiting and not line.flights:
            del self._lines[key]

    def _fly(self, key: KeyT, line: _Line[AskT, AnswerT], asks: list[_Ask[AskT, AnswerT]]) -> None:
        flight = _Flight(asks, asyncio.create_task(self._call(line, asks)))
        for ask in asks:
            ask.flight = flight
        line.flights.add(flight)
        if len(asks) > 1:
            log.debug("%d calls of %s share one", len(asks), key)
        flight.task.add_done_callback(partial(self._land, key, flight))

    async def _call(
        self, line: _Line[AskT, AnswerT], asks: list[_Ask[AskT, AnswerT]]
    ) -> Sequence[AnswerT]:
        def alive() -> None:
            for ask in (*asks, *line.waiting):
                if not ask.answer.done():
                    ask.alive()

        answers = await self._run([ask.ask for ask in asks], alive)
        if len(answers) != len(asks):
            raise InternalError(detail=f"{len(answers)} answers to {len(asks)} asks")
        return answers

    def _land(
        self, key: KeyT, flight: _Flight[AskT, AnswerT], task: "asyncio.Task[Sequence[AnswerT]]"
    ) -> None:
        """Hand out what came of a call, and make the next."""
        line = self._lines[key]
        line.flights.discard(flight)
        asks = [(i, ask) for i, ask in enumerate(flight.asks) if not ask.answer.done()]
        if task.cancelled():
            for _, ask in asks:
                ask.answer.cancel()
        elif error := task.exception():
            self._fail(line, [ask for _, ask in asks], error, shared=len(flight.asks) > 1)
        else:
            for i, ask in asks:
                ask.answer.set_result(task.result()[i])
        self._start(key)

    @staticmethod
    def _fail(
        line: _Line[AskT, AnswerT],
        asks: list[_Ask[AskT, AnswerT]],
        error: BaseException,
        *,
        shared: bool,
    ) -> None:
        if not shared:
            for ask in asks:
                ask.answer.set_exception(error)
        elif isinstance(error, InvokeqError) and isinstance(error, _NOBODYS_FAULT):
            for ask in asks:
                # Whoever fails signs the error with what is its own.
                own = copy.copy(error)
                own.__cause__ = error
                ask.answer.set_exception(own)
        else:
            for ask in reversed(asks):
                ask.alone, ask.flight = True, None
                line.waiting.appendleft(ask)

    def _leave(self, key: KeyT, own: _Ask[AskT, AnswerT]) -> None:
        """See to it that nothing is done for nobody."""
        if own.flight is not None:
            if all(ask.answer.done() for ask in own.flight.asks):
                own.flight.task.cancel()
            return
        line = self._lines.get(key)
        if line is not None and own in line.waiting:
            line.waiting.remove(own)
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
    waiting: deque[_Ask[AskT, AnswerT]],
) -> tuple[list[_Ask[AskT, AnswerT]], bool]:
    """Give the asks of the next call, and whether no more can come with them."""
    first = waiting[0]
    asks, size = [first], first.size
    full = first.alone or size >= first.limit
    for ask in islice(waiting, 1, None):
        if full:
            break
        full = ask.alone or size + ask.size > first.limit
        if not full:
            asks.append(ask)
            size += ask.size
            full = size >= first.limit
    return asks, full
