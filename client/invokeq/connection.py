"""The two shells that carry plans out: `Broker` with blocking sockets, `AsyncBroker` with asyncio.

Both send a batch in one write, read one reply a command, and answer faults the same way: see
`_translate`. A batch whose connection broke is sent again on a new one, at once and then, within
the batch's patience, every RETRY_PAUSE seconds. Works under threads and under gevent's monkey
patch.
"""

import asyncio
import os
import time
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from redis import ConnectionPool
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
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
from redis.retry import Retry

from invokeq.core.options import DEFAULT_URL
from invokeq.core.plan import Batch, Plan, Reply
from invokeq.protocol.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    InvalidConfigurationError,
    InvokeqError,
    PermissionDeniedError,
    ProtocolError,
)

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to connect to Redis."""

REPLY_TIMEOUT: Final = 12.0
"""Seconds for one reply; well above the two seconds for which a read blocks."""

MAX_CONNECTIONS: Final = 10_000
"""A bound that is no bound: every stream that is being read holds one connection."""

RETRY_PAUSE: Final = 0.25
"""Seconds between tries while Redis is away."""

T = TypeVar("T")

_AWAY: Final = (ConnectionError, TimeoutError, ReadOnlyError)


def redis_url(url: str | None) -> str:
    """Give the URL that was passed, else that of INVOKEQ_REDIS_URL, else the local default."""
    return url or os.environ.get("INVOKEQ_REDIS_URL") or DEFAULT_URL


def public_address(url: str) -> str:
    """Give the address without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Shell:
    """What both shells share: the address, and what a reply or a fault means."""

    def __init__(self, url: str | None) -> None:
        self.url = redis_url(url)
        self.address = public_address(self.url)
        self._settings: dict[str, Any] = {
            "protocol": 2,
            "decode_responses": False,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": REPLY_TIMEOUT,
            "socket_keepalive": True,
            "max_connections": MAX_CONNECTIONS,
        }

    def _bad_url(self, problem: Exception) -> InvokeqError:
        return InvalidConfigurationError(source="Redis", setting="url", problem=str(problem))

    def _check(self, replies: list[Reply]) -> list[Reply]:
        for reply in replies:
            if isinstance(reply, ReadOnlyError):
                raise reply
            if isinstance(reply, ResponseError):
                raise self._translate(reply)
        return replies

    def _translate(self, error: Exception) -> InvokeqError:
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


class Broker(_Shell):
    """Carries plans out with blocking sockets; safe to share between threads and greenlets."""

    def __init__(self, url: str | None = None) -> None:
        super().__init__(url)
        try:
            self._pool = ConnectionPool.from_url(
                self.url, retry=Retry(NoBackoff(), 0), **self._settings
            )
        except ValueError as error:
            raise self._bad_url(error) from None

    def run(self, plan: Plan[T]) -> T:
        """Carry a plan out and give its result; raises what the plan raises, and broker errors."""
        try:
            batch = next(plan)
            while True:
                batch = plan.send(self._exchange(batch))
        except StopIteration as stop:
            return stop.value
        finally:
            plan.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.disconnect()

    def _exchange(self, batch: Batch) -> list[Reply]:
        end: float | None = None
        while True:
            try:
                return self._check(self._once(batch))
            except _AWAY as error:
                now = time.monotonic()
                if end is None:
                    end = now + batch.patience
                elif now >= end:
                    raise self._translate(error) from error
                else:
                    time.sleep(RETRY_PAUSE)
            except RedisError as error:
                raise self._translate(error) from error

    def _once(self, batch: Batch) -> list[Reply]:
        connection = self._pool.get_connection()
        intact = False
        try:
            connection.send_packed_command(connection.pack_commands(batch.commands))
            replies: list[Reply] = []
            for _ in batch.commands:
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
            intact = True
            return replies
        finally:
            if not intact:  # a reply may still be on its way: it must not answer anybody else
                connection.disconnect()
            self._pool.release(connection)


class AsyncBroker(_Shell):
    """Carries plans out on asyncio; belongs to the loop on which it was first used."""

    def __init__(self, url: str | None = None) -> None:
        super().__init__(url)
        try:
            self._pool = AsyncConnectionPool.from_url(
                self.url, retry=AsyncRetry(NoBackoff(), 0), **self._settings
            )
        except ValueError as error:
            raise self._bad_url(error) from None

    async def run(self, plan: Plan[T]) -> T:
        """Carry a plan out and give its result; raises what the plan raises, and broker errors."""
        try:
            batch = next(plan)
            while True:
                batch = plan.send(await self._exchange(batch))
        except StopIteration as stop:
            return stop.value
        finally:
            plan.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.disconnect()

    async def _exchange(self, batch: Batch) -> list[Reply]:
        end: float | None = None
        while True:
            try:
                return self._check(await self._once(batch))
            except _AWAY as error:
                now = time.monotonic()
                if end is None:
                    end = now + batch.patience
                elif now >= end:
                    raise self._translate(error) from error
                else:
                    await asyncio.sleep(RETRY_PAUSE)
            except RedisError as error:
                raise self._translate(error) from error

    async def _once(self, batch: Batch) -> list[Reply]:
        connection = await self._pool.get_connection()
        intact = False
        try:
            await connection.send_packed_command(connection.pack_commands(batch.commands))
            replies: list[Reply] = []
            for _ in batch.commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
            intact = True
            return replies
        finally:
            if not intact:
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)
