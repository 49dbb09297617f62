"""One connection to Redis that all tasks of an event loop share for their commands."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection


class _PendingBatch(NamedTuple):
    commands: Sequence[Command]
    replies: asyncio.Future[list[Reply]]


class SharedConnection:
    """Coalesces the batches that are pending into one write; one round trip after the other.

    The commands of a batch stay together: no command of another task comes between MULTI and EXEC.
    When the connection breaks, every batch sent without a reply gets RedisConnectionLostError.
    """

    def __init__(self, connection: RedisConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._pending: list[_PendingBatch] = []
        self._sender: asyncio.Task[None] | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Send a batch and return one reply per command, in order.

        Raise RedisConnectionLostError when the connection breaks or times out.
        """
        loop = asyncio.get_running_loop()
        batch = _PendingBatch(commands, loop.create_future())
        self._pending.append(batch)
        if self._sender is None:
            self._sender = loop.create_task(self._send())
        return await batch.replies

    async def close(self) -> None:
        """Close the connection; every pending batch gets RedisConnectionLostError."""
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
        await self._connection.close()

    async def _send(self) -> None:
        """Send until no batch is pending; the next batch starts the task again."""
        batches: list[_PendingBatch] = []
        try:
            while self._pending:
                # Batches that arrive during this round trip are coalesced into the next one.
                batches, self._pending = self._pending, []
                batches = [batch for batch in batches if not batch.replies.done()]
                try:
                    await self._exchange(batches)
                except RedisConnectionLostError as error:
                    _fail(batches, error)
        finally:
            # No await between the last look at `_pending` and this line: a later batch finds no
            # sender and starts one, so no batch is left behind.
            self._sender = None
            _fail([*batches, *self._pending], RedisConnectionLostError("the session was closed"))
            self._pending.clear()

    async def _exchange(self, batches: list[_PendingBatch]) -> None:
        commands = [command for batch in batches for command in batch.commands]
        replies = await self._connection.exchange(commands, self._timeout)
        at = 0
        for batch in batches:
            end = at + len(batch.commands)
            if not batch.replies.done():  # cancelled while the replies were on their way
                batch.replies.set_result(replies[at:end])
            at = end


def _fail(batches: list[_PendingBatch], error: Exception) -> None:
    for batch in batches:
        if not batch.replies.done():
            batch.replies.set_exception(error)
