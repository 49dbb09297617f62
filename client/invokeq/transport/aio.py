"""The shell that carries plans out on asyncio, for any number of invocations at once.

Commands of all tasks go over one connection, and all streams are waited for over a few: what a
thousand readers want costs the server one command, and this process one system call.
"""

import asyncio
import time
from typing import TypeVar

from redis.exceptions import RedisError

from invokeq.operations.plan import Batch, Plan
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.redis.resp import Reply
from invokeq.transport.blocking import AWAY, RETRY_PAUSE, BaseTransport
from invokeq.transport.sentinel import make_async_pool
from invokeq.transport.shared_connection import SharedConnection
from invokeq.transport.stream_multiplexer import StreamMultiplexer

T = TypeVar("T")


class AsyncTransport(BaseTransport):
    """Carries plans out on asyncio; belongs to the loop on which it was first used."""

    def __init__(self, url: str | None = None, *, gather_plans: bool = True) -> None:
        super().__init__(url)
        try:
            pool = make_async_pool(self.url, self.settings)
        except ValueError as error:
            raise self.bad_url(error) from None
        self._line = SharedConnection(pool)
        self._follower = StreamMultiplexer(pool, gather_plans=gather_plans)

    async def run(self, plan: Plan[T]) -> T:
        """Carry a plan out and give its result; raises what the plan raises, and broker errors.

        A plan hears of a broker error at the batch that met it, and may put things right.
        """
        try:
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
        await self._line.close()
        await self._follower.close()

    async def _exchange(self, batch: Batch) -> list[Reply]:
        end: float | None = None
        while True:
            try:
                return self.check(await self.once(batch))
            except AWAY as error:
                now = time.monotonic()
                if end is None:
                    end = now + batch.retry_for_seconds
                elif now >= end:
                    raise self.translate(error) from error
                else:
                    await asyncio.sleep(RETRY_PAUSE)
            except RedisError as error:
                raise self.translate(error) from error

    async def once(self, batch: Batch) -> list[Reply]:
        """Send a batch a single time; redis' errors of single commands stand as replies."""
        replies = await self._line.exchange(batch.commands) if batch.commands else []
        if batch.wait is not None:
            replies.append(await self._follower.wait(batch.wait))
        return replies
