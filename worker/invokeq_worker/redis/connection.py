"""One connection to Redis that exchanges batches of commands for batches of replies.

Everything in the worker that is on the path of an invocation talks through a connection: one write
and one read loop per batch, no pool, no per-command futures. A connection does not retry: when the
connection
breaks it drops it, raises `RedisConnectionLostError`, and connects anew at the next exchange.
Which commands of a
broken batch the server has executed is unknown; the caller must be able to repeat them.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from invokeq.protocol.redis.resp import Command, Reply, pack_writes

WRITE_SIZE: Final = 1024 * 1024
"""Bytes written at once; what runs beside a larger batch gets its turn in between."""


class RedisConnectionLostError(Exception):
    """The connection broke, or the server did not answer in time."""


class RedisConnection:
    """A single connection made from the settings of `pool`; not to be shared between tasks."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self._connection: AbstractConnection | None = None

    async def exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        """Send a batch and read one reply a command, in order: one round trip.

        An error that the server answers to a single command stands in its place, as the exception.
        Raises LinkError when the connection breaks or the batch takes more than `timeout` seconds.
        """
        intact = False
        try:
            async with asyncio.timeout(timeout):
                connection = await self._connected()
                for number, write in enumerate(pack_writes(commands, WRITE_SIZE)):
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
            raise RedisConnectionLostError(f"no answer within {timeout} s") from None
        except (RedisError, OSError) as error:
            raise RedisConnectionLostError(str(error)) from error
        finally:
            if not intact:  # a reply may still be on its way: it must not answer the next batch
                await self.close()

    async def one(self, *command: str | bytes | int | float, timeout: float) -> Reply:
        """Exchange a single command; raises the server's error as redis' ResponseError."""
        (reply,) = await self.exchange([command], timeout)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def clone(self) -> "RedisConnection":
        """Give another connection to the same place."""
        return RedisConnection(self.pool)

    async def close(self) -> None:
        """Drop the connection; the next exchange makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _connected(self) -> AbstractConnection:
        if self._connection is None:
            connection = self.pool.make_connection()
            await connection.connect()
            self._connection = connection
        return self._connection
