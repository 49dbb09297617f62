"""Execute plans on asyncio, for any number of invocations at the same time.

Commands of all tasks go over one connection, and all waits for streams over a few: what a thousand
readers wait for costs the server one command, and this process one system call.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

from invokeq.protocol.errors import InvokeqError, MisuseError
from invokeq.protocol.redis.resp import Reply
from invokeq.transport import settings
from invokeq.transport.batch import Batch, RedisConnectionLostError
from invokeq.transport.blocking import BaseTransport, RetryBudget, Transport
from invokeq.transport.connect import make_async_pool
from invokeq.transport.connection import RedisConnection
from invokeq.transport.shared_connection import SharedConnection
from invokeq.transport.stream_multiplexer import StreamMultiplexer

T = TypeVar("T")


class AsyncTransport(BaseTransport):
    """Executes plans on asyncio; belongs to the loop on which it was first used."""

    def __init__(self, url: str | None = None, *, multiplex: bool = True) -> None:
        super().__init__(url)
        connection = RedisConnection(make_async_pool(self.url, self.timeouts))
        self._commands = SharedConnection(connection, settings.REPLY_TIMEOUT)
        self._streams = StreamMultiplexer(connection, settings.REPLY_TIMEOUT, multiplex=multiplex)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, plan: Generator[Batch, list[Reply], T]) -> T:
        """Execute a plan and return its result; raise what the plan raises, and broker errors.

        A broker error is thrown into the plan at the batch that met it, so that the plan can
        undo its work. Raise MisuseError on another event loop than that of the first plan.
        """
        try:
            self._check_loop()
            batch = next(plan)
            while True:
                try:
                    replies = await self._exchange(batch)
                except InvokeqError as error:
                    batch = plan.throw(error)
                else:
                    batch = plan.send(replies)
        except StopIteration as stop:
            return stop.value
        finally:
            plan.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._commands.close()
        await self._streams.close()

    def blocking_twin(self) -> Callable[[], Transport]:
        """Return what makes a blocking transport to the same server; see `Transport`."""
        return partial(Transport, self.url)

    def _check_loop(self) -> None:
        # Sockets and futures of one loop never wake a task of another: without this it would hang.
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise MisuseError(
                subject="An AsyncSession",
                problem="belongs to the event loop of its first call: open one for each loop",
            )
        self._loop = loop

    async def _exchange(self, batch: Batch) -> list[Reply]:
        budget = RetryBudget(batch.retry_for_seconds)
        while True:
            try:
                return self.check(await self.once(batch))
            except RedisConnectionLostError as error:
                pause = budget.next_pause(error, time.monotonic())
                if pause is None:
                    raise self.translate(error) from error.__cause__ or error
                if pause:
                    await asyncio.sleep(pause)

    async def once(self, batch: Batch) -> list[Reply]:
        """Send a batch a single time; the server's error for a command stands as its reply."""
        replies = await self._commands.exchange(batch.commands) if batch.commands else []
        if batch.wait is not None:
            replies.append(await self._streams.wait(batch.wait))
        return replies
