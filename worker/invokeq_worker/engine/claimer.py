"""Takes jobs from the lanes, as many as there is room for, and starts a run for each.

Idle, it blocks on the bell of its queues and polls nothing: the claim is sent along behind the
wait, so that the server carries it out the moment the bell rings. Cost: one round trip a claim of
up to CLAIM_SIZE jobs, also for the first one after it has been idle.
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
"""Jobs a claim; a larger one would hold the server up for over a millisecond."""

BLOCK: Final = 5.0
"""Seconds to block on the bell before asking again, so that a half-open connection is noticed."""

MARGIN: Final = 5.0
"""Seconds beyond BLOCK after which the connection is given up."""

PAUSE: Final = 0.5
"""Seconds to wait when Redis is away."""

HEAD_START: Final = 3
"""Turns of the loop that new runs have before this worker waits for more: to call their vendor, and
to say what can be said at once."""

log: Final = structlog.get_logger(__name__)


class Claimer:
    """The claim loop of one worker.

    `start_run` is called on the loop for every claimed job; `reconcile` when a claim broke and jobs
    may have been claimed that nobody here knows of.
    """

    def __init__(
        self,
        link: RedisConnection,
        worker: str,
        queues: Sequence[str],
        concurrency: int,
        start_run: Callable[[Claimed], None],
        reconcile: Callable[[], Awaitable[None]],
    ) -> None:
        self._link = link
        self._worker = worker
        self._queues = queues
        self._free = concurrency
        self._start_run = start_run
        self._reconcile = reconcile
        self._slot_freed = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._task: asyncio.Task[None] | None = None
        self._claiming = False
        self._stopped = False

    def run_ended(self) -> None:
        """A run has ended: there is room for one more."""
        self._free += 1
        self._slot_freed.set()

    def suspended(self, state: bool) -> None:
        """Learn, from the heartbeat, whether RQ's workers are suspended."""
        if state:
            self._resumed.clear()
        else:
            self._resumed.set()

    def stop(self) -> None:
        """Claim nothing more; a claim on its way is still taken in."""
        self._stopped = True
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
                log.warning("redis is away", problem=str(error))
                left = unsure = True
                await asyncio.sleep(PAUSE)
            except asyncio.CancelledError:
                if not self._stopped:
                    raise
                with contextlib.suppress(RedisConnectionLostError):
                    await self._reconcile()  # the bell may have rung as the connection closed

    async def _claim_next(self, *, wait: bool) -> bool:
        """Claim once there is room, with `wait` once the bell rings; tells whether there may be
        more."""
        await self._resumed.wait()
        while self._free <= 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        claim = await self._claim(min(self._free, CLAIM_SIZE), wait)
        if claim.suspended:
            self._resumed.clear()
            return True
        for job in claim.jobs:
            self._free -= 1
            self._start_run(job)
        if not claim.left:
            for _ in range(HEAD_START):
                await asyncio.sleep(0)
        return claim.left

    async def _claim(self, room: int, wait: bool) -> Claim:
        """Claim up to `room` jobs: one round trip; `stop()` cuts it short only while it waits."""
        command = scripts.claim(self._worker, self._queues, room, secrets.token_hex(12))
        bells = (keys.wakeup(queue) for queue in self._queues)
        before: list[Command] = [("BLPOP", *bells, BLOCK)] if wait else []
        self._claiming = not wait
        try:
            timeout = BLOCK + MARGIN if wait else MARGIN
            replies = await scripts.exchange(self._link, [*before, command], timeout)
        finally:
            self._claiming = False
        if isinstance(replies[-1], ResponseError):
            raise RedisConnectionLostError(f"claim refused: {replies[-1]}")
        return scripts.parse_claim(replies[-1])
