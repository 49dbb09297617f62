"""Takes jobs from the lanes, as many as there is room for, and starts a run for each.

Idle, it blocks on the bell of its queues and polls nothing. Cost: one round trip a claim of up to
CLAIM_SIZE jobs, plus one to be woken after it has been idle.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol import keys
from invokeq.protocol.rq_time import iso
from invokeq_worker import scripts
from invokeq_worker.link import Link, LinkError
from invokeq_worker.scripts import Claim, Claimed

CLAIM_SIZE: Final = 32
"""Jobs a claim; a larger one would hold the server up for over a millisecond."""

BLOCK: Final = 5.0
"""Seconds to block on the bell before asking again, so that a half-open connection is noticed."""

MARGIN: Final = 5.0
"""Seconds beyond BLOCK after which the connection is given up."""

PAUSE: Final = 0.5
"""Seconds to wait when Redis is away."""

log: Final = structlog.get_logger(__name__)


class Claimer:
    """The claim loop of one worker.

    `start_run` is called on the loop for every claimed job; `reconcile` when a claim broke and jobs
    may have been claimed that nobody here knows of.
    """

    def __init__(
        self,
        link: Link,
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
        while not self._stopped:
            try:
                left = await self._claim_all()
                if burst and not left:
                    return
                if not left and not self._stopped:
                    await self._await_bell()
            except LinkError as error:
                log.warning("redis is away", problem=str(error))
                await asyncio.sleep(PAUSE)
                await self._reconcile()
            except asyncio.CancelledError:
                if not self._stopped:
                    raise

    async def _claim_all(self) -> bool:
        """Claim while lanes have work; tells whether work was left when it had to stop."""
        while not self._stopped:
            await self._resumed.wait()
            while self._free <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
            claim = await self._claim(min(self._free, CLAIM_SIZE))
            if claim.suspended:
                self._resumed.clear()
                continue
            for job in claim.jobs:
                self._free -= 1
                self._start_run(job)
            if not claim.left:
                return False
        return True

    async def _claim(self, room: int) -> Claim:
        """Claim up to `room` jobs: one round trip, which `stop()` does not cut short."""
        now = time.time()
        command = scripts.claim(
            self._worker, self._queues, room, iso(now), now, secrets.token_hex(12)
        )
        self._claiming = True
        try:
            (reply,) = await scripts.exchange(self._link, [command], MARGIN)
        finally:
            self._claiming = False
        if isinstance(reply, ResponseError):
            raise LinkError(f"claim refused: {reply}")
        return scripts.parse_claim(reply)

    async def _await_bell(self) -> None:
        bells = [keys.bell(queue) for queue in self._queues]
        with contextlib.suppress(ResponseError):
            await self._link.one("BLPOP", *bells, BLOCK, timeout=BLOCK + MARGIN)
