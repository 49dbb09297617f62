"""The shell that carries plans out with blocking sockets; `invokeq.transport.aio` has the other.

Both send a batch in one write, read one reply a command, and answer faults the same way: see
`BaseTransport`. A batch whose connection broke is sent again on a new one, at once and then,
within the
batch's patience, every RETRY_PAUSE seconds. Works under threads and under gevent's monkey patch.
"""

import os
import time
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from redis.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - redis' own, not the builtin
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from invokeq.operations.options import DEFAULT_URL
from invokeq.operations.plan import Batch, Plan
from invokeq.protocol.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    InvalidConfigurationError,
    InvokeqError,
    PermissionDeniedError,
    ProtocolError,
)
from invokeq.protocol.redis.resp import Reply, pack_commands
from invokeq.transport.sentinel import make_pool

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to connect to Redis."""

REPLY_TIMEOUT: Final = 12.0
"""Seconds for one reply; well above the two seconds for which a read blocks."""

RETRY_PAUSE: Final = 0.25
"""Seconds between tries while Redis is away."""

T = TypeVar("T")

AWAY: Final = (ConnectionError, TimeoutError, ReadOnlyError)
"""Faults after which a batch is sent again."""


def redis_url(url: str | None) -> str:
    """Give the URL that was passed, else that of INVOKEQ_REDIS_URL, else the local default."""
    return url or os.environ.get("INVOKEQ_REDIS_URL") or DEFAULT_URL


def public_address(url: str) -> str:
    """Give the address without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class BaseTransport:
    """What both shells share: the address, and what a reply or a fault means."""

    def __init__(self, url: str | None) -> None:
        self.url = redis_url(url)
        self.address = public_address(self.url)
        self.settings: dict[str, Any] = {
            "protocol": 2,
            "decode_responses": False,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": REPLY_TIMEOUT,
            "socket_keepalive": True,
            "max_connections": 2**31 - 1,  # the pool only makes them, and counts all it ever made
            "driver_info": None,  # CLIENT SETINFO, which no user of ours may and nobody needs
        }

    def bad_url(self, problem: Exception) -> InvokeqError:
        """Give the error for a URL that redis-py does not understand."""
        return InvalidConfigurationError(source="Redis", setting="url", problem=str(problem))

    def check(self, replies: list[Reply]) -> list[Reply]:
        """Give the replies back if all are good; a server that only reads is as good as away."""
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply if isinstance(reply, ReadOnlyError) else self.translate(reply)
        return replies

    def translate(self, error: Exception) -> InvokeqError:
        """Give our error for one of redis-py's."""
        detail = str(error) or type(error).__name__
        match error:
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
    """Carries plans out with blocking sockets; safe to share between threads and greenlets.

    Every call holds a connection of its own while it waits; those that are free are kept, the one
    used last first.
    """

    def __init__(self, url: str | None = None) -> None:
        super().__init__(url)
        try:
            self._pool = make_pool(self.url, self.settings)
        except ValueError as error:
            raise self.bad_url(error) from None
        self._free: list[AbstractConnection] = []
        self._pid = os.getpid()

    def run(self, plan: Plan[T]) -> T:
        """Carry a plan out and give its result; raises what the plan raises, and broker errors.

        A plan hears of a broker error at the batch that met it, and may put things right.
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
        """Close all connections that are free; those in use are closed by whoever uses them."""
        free, self._free = self._free, []
        for connection in free:
            connection.disconnect()

    def _exchange(self, batch: Batch) -> list[Reply]:
        end: float | None = None
        while True:
            try:
                return self.check(self.once(batch))
            except AWAY as error:
                now = time.monotonic()
                self.close()  # what was free is as broken
                if end is None:
                    end = now + batch.retry_for_seconds
                elif now >= end:
                    raise self.translate(error) from error
                else:
                    time.sleep(RETRY_PAUSE)
            except RedisError as error:
                raise self.translate(error) from error

    def once(self, batch: Batch) -> list[Reply]:
        """Send a batch a single time; redis' errors of single commands stand as replies."""
        commands = batch.sent
        connection = self._take()
        intact = False
        try:
            connection.send_packed_command([pack_commands(commands)])
            replies: list[Reply] = []
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
            intact = True
            return replies
        finally:
            if intact:
                self._free.append(connection)
            else:  # a reply may still be on its way: it must not answer anybody else
                connection.disconnect()

    def _take(self) -> AbstractConnection:
        if self._pid != os.getpid():  # forked: the sockets are the parent's
            self._free, self._pid = [], os.getpid()
        try:
            return self._free.pop()
        except IndexError:
            connection = cast(AbstractConnection, self._pool.make_connection())
            connection.connect()  # which looks up a master; sending would connect to nowhere
            return connection
