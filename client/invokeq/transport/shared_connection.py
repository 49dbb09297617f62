"""One connection to Redis that the tasks of an event loop share."""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from invokeq.protocol.redis.resp import Command, Reply, pack_commands

REPLY_TIMEOUT: Final = 12.0
"""Seconds for the replies to one write; well above the two seconds for which a read blocks."""


async def exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Reply]:
    """Send commands in one write and read a reply for each; the server's errors stand as replies.

    Drops the connection, and raises redis' ConnectionError or TimeoutError, when it breaks.
    """
    intact = False
    try:
        async with asyncio.timeout(REPLY_TIMEOUT):
            await connection.connect()
            await connection.send_packed_command(pack_commands(commands), check_health=False)
            replies: list[Reply] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
        intact = True
        return replies
    except TimeoutError:
        raise RedisTimeoutError(f"no answer within {REPLY_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise RedisConnectionError(str(error)) from error
    finally:
        if not intact:  # a reply may still be on its way: it must not answer the next write
            await connection.disconnect(nowait=True)


class _PendingBatch(NamedTuple):
    commands: Sequence[Command]
    replies: asyncio.Future[list[Reply]]


class SharedConnection:
    """Sends what all tasks want at the moment in one write; one round trip after the other.

    A batch stays in one piece: nobody's commands come between those of a MULTI. When the connection
    breaks, everybody whose replies are missing gets redis' error.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._wishes: list[_PendingBatch] = []
        self._sender: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Send a batch and give its replies, in order."""
        loop = asyncio.get_running_loop()
        wish = _PendingBatch(commands, loop.create_future())
        self._wishes.append(wish)
        if self._sender is None:
            self._sender = loop.create_task(self._send())
        return await wish.replies

    async def close(self) -> None:
        """Drop the connection; whoever still waits gets redis' ConnectionError."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            self._connection = None

    async def _send(self) -> None:
        """Send until nobody wants anything; the next wish starts it again."""
        wishes: list[_PendingBatch] = []
        try:
            while self._wishes:
                wishes, self._wishes = self._wishes, []
                wishes = [wish for wish in wishes if not wish.replies.done()]
                try:
                    await self._exchange(wishes)
                except RedisError as error:
                    _fail(wishes, error)
        finally:
            self._sender = None
            _fail([*wishes, *self._wishes], RedisConnectionError("the session was closed"))
            self._wishes.clear()

    async def _exchange(self, wishes: list[_PendingBatch]) -> None:
        if self._connection is None:
            self._connection = self._pool.make_connection()
        commands = [command for wish in wishes for command in wish.commands]
        replies = await exchange(self._connection, commands)
        at = 0
        for wish in wishes:
            end = at + len(wish.commands)
            if not wish.replies.done():
                wish.replies.set_result(replies[at:end])
            at = end


def _fail(wishes: list[_PendingBatch], error: Exception) -> None:
    for wish in wishes:
        if not wish.replies.done():
            wish.replies.set_exception(error)
