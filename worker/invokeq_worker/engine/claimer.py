"""Claims jobs from the lanes, as many as there are free slots, and starts a run for each.

An idle worker blocks on the wakeup keys of the queues and does not poll. The claim is pipelined
behind the blocking pop: the server runs the claim script the moment a wakeup arrives. Cost:
one round trip for a claim of up to CLAIM_SIZE jobs, also for the first one after an idle time.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claim, Claimed

CLAIM_SIZE: Final = 32
"""Jobs of one claim; more would block the server for over a millisecond."""

BLOCK: Final = 5.0
"""Seconds to block on a wakeup before asking again, to notice a half-open connection."""

MARGIN: Final = 5.0
"""Seconds beyond BLOCK after which the connection is closed."""

PAUSE: Final = 0.5
"""Seconds to wait while Redis is unavailable."""

HEAD_START: Final = 3
"""Loop turns for new runs before the worker waits for more: to call vendors, and to emit output
ready at once."""

log: Final = structlog.get_logger(__name__)


class Slots:
    """How many more runs a worker may start."""

    def __init__(self, concurrency: int) -> None:
        self.free: int = concurrency
        self._freed = asyncio.Event()

    def take(self) -> None:
        """Take a slot for a new run."""
        self.free -= 1

    def release(self) -> None:
        """Give a slot back after a run has ended."""
        self.free += 1
        self._freed.set()

    async def wait_for_free(self) -> None:
        """Wait until there is a free slot."""
        while self.free <= 0:
            self._freed.clear()
            await self._freed.wait()


class Claimer:
    """The claim loop of one worker.

    `start_run` is called on the loop for every claimed job. `reconcile` requeues the orphans of a
    claim without a reply.
    """

    def __init__(
        self,
        connection: RedisConnection,
        worker: str,
        queues: Sequence[str],
        slots: Slots,
        start_run: Callable[[Claimed], None],
        reconcile: Callable[[], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._queues = queues
        self._slots = slots
        self._start_run = start_run
        self._reconcile = reconcile
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._task: asyncio.Task[None] | None = None
        self._claiming = False
        self._stopped = False

    def set_suspended(self, suspended: bool) -> None:
        """Pause or resume claiming, as `rq suspend` and `rq resume` ask for."""
        if suspended:
            self._resumed.clear()
        else:
            self._resumed.set()

    def stop(self) -> None:
        """Claim no more jobs; the jobs of a claim on the way are still run."""
        self._stopped = True
        # Cancelling a claim on its way would lose its reply, and with it the claimed jobs.
        if self._task is not None and not self._claiming:
            self._task.cancel("stop")

    async def run(self, burst: bool = False) -> None:
        """Claim until `stop()`; with `burst`, until the lanes are empty."""
        self._task = asyncio.current_task()
        left, unsure = True, False
        while not self._stopped:
            try:
                if unsure:
                    await self._reconcile()
                    unsure = False
                left = await self._claim_next(wait=not left)
                if burst and not left:
                    return
            except RedisConnectionLostError as error:
                log.warning("redis unavailable", problem=str(error))
                # The server may have executed the claim whose reply was lost.
                left = unsure = True
                await asyncio.sleep(PAUSE)
            except asyncio.CancelledError:
                if not self._stopped:
                    raise
                with contextlib.suppress(RedisConnectionLostError):
                    # A wakeup may have started the pipelined claim as the connection closed.
                    await self._reconcile()

    async def _claim_next(self, *, wait: bool) -> bool:
        """Claim once there is a free slot; return whether the lanes may hold more jobs.

        `wait` blocks on a wakeup first.
        """
        await self._resumed.wait()
        await self._slots.wait_for_free()
        claim = await self._claim(min(self._slots.free, CLAIM_SIZE), wait)
        if claim.suspended:
            self._resumed.clear()
            return True
        for job in claim.jobs:
            self._slots.take()
            self._start_run(job)
        if not claim.left:
            for _ in range(HEAD_START):
                await asyncio.sleep(0)
        return claim.left

    async def _claim(self, count: int, wait: bool) -> Claim:
        """Claim up to `count` jobs. One round trip; `stop()` interrupts only the wait."""
        command = scripts.claim(
            self._worker,
            queues=self._queues,
            capacity=count,
            execution_prefix=secrets.token_hex(12),
        )
        wakeups = (keys.wakeup(queue) for queue in self._queues)
        before: list[Command] = [("BLPOP", *wakeups, BLOCK)] if wait else []
        self._claiming = not wait
        try:
            timeout = BLOCK + MARGIN if wait else MARGIN
            replies = await scripts.exchange(self._connection, [*before, command], timeout)
        finally:
            self._claiming = False
        if isinstance(replies[-1], ResponseError):
            raise RedisConnectionLostError(f"claim refused: {replies[-1]}")
        return scripts.parse_claim(replies[-1])
