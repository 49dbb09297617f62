"""The readers of runs: how far they have come, whether they are still there, and the wait for them.

A run whose reader is a window behind waits here instead of asking its provider for more, and the
vendor's connection fills up in turn. A wait ends when the reader has taken something, has let go,
or has gone; cancel, deadline and shutdown end it as they end everything else a run does.

Cost: nothing while no run waits. Else one MGET for all that wait, at once for a run that has just
begun to and then every PAUSE seconds. Runs that do not wait are looked at by the heartbeat.
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
from invokeq_worker.config.values import REDIS_RETENTION
from invokeq_worker.engine.run import Run

PAUSE: Final = 0.025
"""Seconds between looks; a reader that reads on finds more before it could notice."""

TIMEOUT: Final = 4.0
"""Seconds for one look."""

GRACE: Final = 2.0
"""Seconds after the claim before a missing reader counts; its lease and the job travel apart."""

RETURN_GRACE: Final = 5.0
"""Seconds after Redis was away before a missing reader counts; it reconnects on its own."""

log: Final = structlog.get_logger(__name__)


class Readers:
    """Looks at the leases of readers; `run()` is to be run as a task."""

    def __init__(
        self, link: RedisConnection, on_lost: Callable[[], None], retention: float = REDIS_RETENTION
    ) -> None:
        self._link = link
        self._on_lost = on_lost
        self._retention = retention
        self._waiting: dict[Run, asyncio.Future[None]] = {}
        self._stirred = asyncio.Event()
        self._away_since: float | None = None
        self._missing_count_from = 0.0

    async def room(self, run: Run) -> None:
        """Wait until the reader of a run has taken enough for more to be said."""
        self._waiting[run] = asyncio.get_running_loop().create_future()
        self._stirred.set()
        try:
            await self._waiting[run]
        finally:
            del self._waiting[run]

    async def run(self) -> None:
        """Look after the runs that wait, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), PAUSE if self._waiting else None)
            self._stirred.clear()
            if self._waiting:
                await self._look()

    async def _look(self) -> None:
        """Hear how far the readers of those that wait have come. One round trip."""
        runs = list(self._waiting)
        try:
            leases = await self._link.execute(*leases_of(runs), timeout=TIMEOUT)
        except (RedisConnectionLostError, ResponseError) as error:
            self.missed(str(error))
        else:
            self.hear(runs, leases)

    def missed(self, problem: str) -> None:
        """Learn that Redis could not be asked; when it stays away, nobody can be waited for."""
        now = time.monotonic()
        self._missing_count_from = now + RETURN_GRACE
        if self._away_since is None:
            self._away_since = now
            log.warning("readers cannot be seen", problem=problem)
        elif self._waiting and now - self._away_since > self._retention:
            self._on_lost()

    def hear(self, runs: Iterable[Run], leases: Iterable[bytes | None]) -> None:
        """Act on what the leases say: a place, an order, or that a reader has gone."""
        self._away_since = None
        patient = time.monotonic() < self._missing_count_from
        for run, lease in zip(runs, leases, strict=True):
            if lease is not None:
                self._obey(run, lease)
            elif run.stream.has_reader and not patient and is_settled(run):
                run.cancel("consumer_gone")
            waiting = self._waiting.get(run)
            if waiting and not waiting.done() and not (run.stream.full and run.stream.has_reader):
                waiting.set_result(None)

    @staticmethod
    def _obey(run: Run, value: bytes) -> None:
        lease = parse_lease(value)
        if lease.cancel is not None:
            run.cancel(lease.cancel)
        elif lease.detached:
            run.stream.unattend()
        else:
            run.stream.taken(lease.position)


def is_settled(run: Run) -> bool:
    """Tell whether a run is old enough for its lease to be there if there is one."""
    return time.time() - run.started_at > GRACE


def leases_of(runs: Iterable[Run]) -> Command:
    return ("MGET", *(keys.reader(run.job.id) for run in runs))
