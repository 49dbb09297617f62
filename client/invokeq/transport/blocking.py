"""Execute plans with blocking sockets; `invokeq.transport.aio` does so on asyncio.

Both send a batch in one write, read one reply a command, and answer faults in the same way: see
`BaseTransport`. A batch whose connection broke is sent again on a new connection, at once and then
every RETRY_PAUSE seconds for the batch's `retry_for_seconds`. Works under threads and under
gevent's monkey patch.
"""

import os
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import ClassVar, Final, TypeVar, cast

from redis.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from invokeq.protocol.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    InvalidConfigurationError,
    InvokeqError,
    PermissionDeniedError,
    ProtocolError,
)
from invokeq.protocol.redis.address import public_address
from invokeq.protocol.redis.resp import Reply
from invokeq.transport import settings
from invokeq.transport.batch import Batch, RedisConnectionLostError
from invokeq.transport.connect import make_pool
from invokeq.transport.connection import exchange_blocking

RETRY_PAUSE: Final = 0.25
"""Seconds between tries while Redis is away."""

T = TypeVar("T")


class RetryBudget:
    """Decide how often a batch is sent again: at once, then every RETRY_PAUSE seconds."""

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def next_pause(self, error: RedisConnectionLostError, now: float) -> float | None:
        """Return the seconds to wait before the next try; None when there is to be none.

        `now` is on the monotonic clock; the first lost connection starts the budget.
        """
        refused = isinstance(error.__cause__, ResponseError)
        if refused and not isinstance(error.__cause__, ReadOnlyError):
            return None  # the server's answer to connecting, such as a database out of range
        if self._end is None:
            self._end = now + self._seconds
            return 0.0
        return RETRY_PAUSE if now < self._end else None


class BaseTransport:
    """What both transports share: the address, and what a reply or a fault means."""

    in_memory: ClassVar[bool] = False
    """Whether a batch needs no network, so that running a plan never waits."""

    def __init__(self, url: str | None) -> None:
        self.url: str = settings.redis_url(url)
        self.address: str = public_address(self.url)
        self.timeouts: settings.Timeouts = settings.Timeouts(
            settings.CONNECT_TIMEOUT, settings.REPLY_TIMEOUT
        )

    def check(self, replies: list[Reply]) -> list[Reply]:
        """Return the replies if all are good; else raise the InvokeqError of the first bad one.

        Raise RedisConnectionLostError for a server that only reads: a failover is under way.
        """
        for reply in replies:
            if isinstance(reply, ReadOnlyError):
                raise RedisConnectionLostError.because_of(reply)
            if isinstance(reply, ResponseError):
                raise self.translate(reply)
        return replies

    def translate(self, error: Exception) -> InvokeqError:
        """Return our error for a lost connection or for one of redis-py's errors."""
        detail = str(error) or type(error).__name__
        match error.__cause__ if isinstance(error, RedisConnectionLostError) else error:
            case OutOfMemoryError():
                return BrokerFullError(address=self.address, detail=detail)
            case AuthenticationError():
                return InvalidConfigurationError(source=self.address, setting="url", problem=detail)
            case NoPermissionError():
                return PermissionDeniedError(problem=f"Redis at {self.address} says: {detail}")
            case ResponseError():
                return ProtocolError(where=f"Redis at {self.address}", problem=detail)
            case _:
                return BrokerUnavailableError(address=self.address, detail=detail)


class Transport(BaseTransport):
    """Executes plans with blocking sockets; safe to share between threads and greenlets.

    Every call holds a connection of its own while it waits. Free connections are kept, and the
    one that was used last is taken first.
    """

    def __init__(self, url: str | None = None) -> None:
        super().__init__(url)
        self._pool = make_pool(self.url, self.timeouts)
        self._free: list[AbstractConnection] = []
        self._pid = os.getpid()

    def run(self, plan: Generator[Batch, list[Reply], T]) -> T:
        """Execute a plan and return its result; raise what the plan raises, and broker errors.

        A broker error is thrown into the plan at the batch that met it, so that the plan can
        undo its work.
        """
        try:
            batch = next(plan)
            while True:
                try:
                    replies = self._exchange(batch)
                except InvokeqError as error:
                    batch = plan.throw(error)
                else:
                    batch = plan.send(replies)
        except StopIteration as stop:
            return stop.value
        finally:
            plan.close()

    def close(self) -> None:
        """Close the free connections; a connection in use is closed when its call ends badly."""
        free, self._free = self._free, []
        for connection in free:
            connection.disconnect()

    def blocking_twin(self) -> "Callable[[], Transport]":
        """Return what makes a transport to the same server, with connections of its own.

        The factory holds no reference to this transport.
        """
        return partial(Transport, self.url)

    def _exchange(self, batch: Batch) -> list[Reply]:
        budget = RetryBudget(batch.retry_for_seconds)
        while True:
            try:
                return self.check(self.once(batch))
            except RedisConnectionLostError as error:
                pause = budget.next_pause(error, time.monotonic())
                if pause is None:
                    raise self.translate(error) from error.__cause__ or error
                self.close()  # the free connections are as broken as this one
                if pause:
                    time.sleep(pause)

    def once(self, batch: Batch) -> list[Reply]:
        """Send a batch a single time; the server's error for a command stands as its reply."""
        connection = self._take()
        replies = exchange_blocking(connection, batch.all_commands)
        self._free.append(connection)
        return replies

    def _take(self) -> AbstractConnection:
        if self._pid != os.getpid():  # forked: the sockets are the parent's
            self._free, self._pid = [], os.getpid()
        try:
            return self._free.pop()  # no look before: another thread may take the last one
        except IndexError:
            return cast(AbstractConnection, self._pool.make_connection())
