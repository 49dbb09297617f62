"""The readers of runs: positions, signs of life, and backpressure.

A run waits here, instead of reading on from the provider, while the reader is a window behind. The
vendor's connection fills up in turn. A wait ends when the reader has read enough, has detached,
or has gone. Cancel, deadline and shutdown end a wait, too.

Cost: none while no run waits. Otherwise one MGET for all waiting runs: at once for a new
wait, then every PAUSE seconds. The heartbeat polls the leases of all other runs.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol.lease import parse_lease
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_worker.attempts.finalize import Attempt
from invokeq_worker.config.values import REDIS_RETENTION

PAUSE: Final = 0.025
"""Seconds between polls; too short to keep a reader waiting."""

TIMEOUT: Final = 4.0
"""Seconds for one poll."""

GRACE: Final = 2.0
"""Seconds after the claim before a missing reader counts; lease and job travel apart."""

RETURN_GRACE: Final = 5.0
"""Seconds after Redis was unavailable before a missing reader counts; readers reconnect."""

log: Final = structlog.get_logger(__name__)


class Readers:
    """Polls the leases of readers; run `run()` as a task."""

    def __init__(
        self,
        connection: RedisConnection,
        on_lost: Callable[[], None],
        retention: float = REDIS_RETENTION,
    ) -> None:
        self._connection = connection
        self._on_lost = on_lost
        self._retention = retention
        self._waiting: dict[Attempt, asyncio.Future[None]] = {}
        self._new_wait = asyncio.Event()
        self._unavailable_since: float | None = None
        self._missing_count_from = 0.0

    async def wait_for_capacity(self, run: Attempt) -> None:
        """Wait until the reader of a run has read enough for more events (backpressure)."""
        self._waiting[run] = asyncio.get_running_loop().create_future()
        self._new_wait.set()
        try:
            await self._waiting[run]
        finally:
            del self._waiting[run]

    async def run(self) -> None:
        """Poll the leases of waiting runs, forever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new_wait.wait(), PAUSE if self._waiting else None)
            self._new_wait.clear()
            if self._waiting:
                await self._poll()

    async def _poll(self) -> None:
        """Read the leases of all waiting runs. One round trip."""
        runs = list(self._waiting)
        try:
            leases = await self._connection.execute(*lease_query(runs), timeout=TIMEOUT)
        except (RedisConnectionLostError, ResponseError) as error:
            self.on_unavailable(str(error))
        else:
            self.apply_leases(runs, leases)

    def on_unavailable(self, problem: str) -> None:
        """Record a failed poll; give up when Redis stays unavailable while runs wait."""
        now = time.monotonic()
        # Leases lapse while Redis is down or its clients are cut off: a lapsed lease is no sign
        # that its reader has gone until readers have had the time to renew.
        self._missing_count_from = now + RETURN_GRACE
        if self._unavailable_since is None:
            self._unavailable_since = now
            log.warning("reader leases unavailable", problem=problem)
        elif self._waiting and now - self._unavailable_since > self._retention:
            # Waiting runs write no events, so the writer would never notice the loss.
            self._on_lost()

    def apply_leases(self, runs: Iterable[Attempt], leases: Iterable[bytes | None]) -> None:
        """Act on polled leases: a position, an order, or a missing reader."""
        self._unavailable_since = None
        forgiving = time.monotonic() < self._missing_count_from
        for run, lease in zip(runs, leases, strict=True):
            if lease is not None:
                self._apply_lease(run, lease)
            elif run.stream.has_reader and not forgiving and is_past_grace(run):
                run.cancel("consumer_gone")
            # The run may have ended, or been released, while the poll was on its way.
            waiting = self._waiting.get(run)
            blocked = run.stream.is_over_window and run.stream.has_reader
            if waiting and not waiting.done() and not blocked:
                waiting.set_result(None)

    @staticmethod
    def _apply_lease(run: Attempt, value: bytes) -> None:
        lease = parse_lease(value)
        if lease.cancel is not None:
            run.cancel(lease.cancel)
        elif lease.detached:
            run.stream.detach()
        else:
            run.stream.acknowledge(lease.position)


def is_past_grace(run: Attempt) -> bool:
    """Return whether the lease of a run must be in Redis by now, if there is one."""
    return time.time() - run.started_at > GRACE


def lease_query(runs: Iterable[Attempt]) -> Command:
    """Return the command for reading the leases of the readers of `runs`."""
    return ("MGET", *(keys.reader(run.job.id) for run in runs))
