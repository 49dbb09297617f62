"""Exchange a batch of commands for a batch of replies over one connection.

One write and one read loop a batch: no pool, no future a command. No retry either: a broken
connection is closed, `RedisConnectionLostError` is raised, and the next exchange connects anew.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.connection import AbstractConnection as BlockingConnection
from redis.exceptions import RedisError, ResponseError

from invokeq.protocol.redis.resp import Command, Reply, pack_commands, pack_writes
from invokeq.transport.batch import RedisConnectionLostError

WRITE_SIZE: Final = 1024 * 1024
"""Bytes of one write on asyncio; other tasks run between the writes of a larger batch."""


def exchange_blocking(connection: BlockingConnection, commands: Sequence[Command]) -> list[Reply]:
    """Send a batch and return one reply per command, in order: one round trip.

    The server's error for a single command stands in place of the reply. Raise
    RedisConnectionLostError when the connection breaks; the connection is then closed.
    """
    intact = False
    try:
        connection.connect()  # resolves a Sentinel's master; sending alone would not
        connection.send_packed_command([pack_commands(commands)])
        replies: list[Reply] = []
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                replies.append(error)
        intact = True
        return replies
    except (RedisError, OSError) as error:
        raise RedisConnectionLostError.because_of(error) from error
    finally:
        # Also on gevent's timeouts: a late reply of this batch must not answer the next batch.
        if not intact:
            connection.disconnect()


class RedisConnection:
    """One asyncio connection with the settings of `pool`; not to be shared between tasks."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self._connection: AbstractConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether a connection is open, as far as this side knows."""
        return self._connection is not None

    async def exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        """Send a batch and return one reply per command, in order: one round trip.

        The server's error for a single command stands in place of the reply. Raise
        RedisConnectionLostError when the connection breaks, or after `timeout` seconds.
        """
        intact = False
        try:
            async with asyncio.timeout(timeout):
                connection = self._connection or await self._connect()
                for number, write in enumerate(pack_writes(commands, WRITE_SIZE)):
                    # Other tasks run between the writes of a large batch.
                    if number:
                        await asyncio.sleep(0)
                    await connection.send_packed_command(write, check_health=False)
                replies: list[Reply] = []
                for _ in commands:
                    try:
                        replies.append(await connection.read_response(timeout=math.inf))
                    except ResponseError as error:
                        replies.append(error)
            intact = True
            return replies
        except TimeoutError:
            raise RedisConnectionLostError(f"no answer within {timeout:g} s") from None
        except (RedisError, OSError) as error:
            raise RedisConnectionLostError.because_of(error) from error
        finally:
            # Also on cancellation: a late reply of this batch must not answer the next batch.
            if not intact:
                await self.close()

    async def execute(self, *command: str | bytes | int | float, timeout: float) -> Reply:
        """Exchange a single command. Raise the server's error as redis-py's ResponseError."""
        (reply,) = await self.exchange([command], timeout)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def clone(self) -> "RedisConnection":
        """Return another connection with the same settings; opens none."""
        return RedisConnection(self.pool)

    async def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _connect(self) -> AbstractConnection:
        # Kept only once connected: a failed login must leave no half-open connection behind.
        connection = self.pool.make_connection()
        await connection.connect()
        self._connection = connection
        return connection
