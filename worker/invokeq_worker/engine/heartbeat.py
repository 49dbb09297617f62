"""Once a second: renew the lease, poll the readers' leases, find dead workers and silent vendors.

Cost: one round trip a second, however many runs there are: the heartbeat script, and one MGET over
the readers' leases, which also hold how far the readers have read.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol.directory import CATALOG_TTL, WorkerEntry
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command
from invokeq.protocol.redis.rq_time import iso
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_worker.attempts.run import Run
from invokeq_worker.engine.claimer import Claimer
from invokeq_worker.engine.readers import Readers, is_past_grace, lease_query
from invokeq_worker.redis import scripts

REFRESH: Final = 1.0
"""Seconds between heartbeats."""

LEASE_MS: Final = 5_000
"""Milliseconds without a heartbeat after which a worker is dead."""

CATALOG_REFRESH: Final = 60.0
"""Seconds between renewals of the catalog's TTL."""

TIMEOUT: Final = 2.0
"""Seconds for one heartbeat: a half-open connection is replaced before the lease lapses."""

log: Final = structlog.get_logger(__name__)


class Heartbeat:
    """The lease of one worker, and the news that each renewal returns.

    `catalog` is a digest and the bytes. `worker_ttl` is the TTL of RQ's record of the worker, in
    seconds. `reap` cleans up after a dead worker.
    """

    def __init__(
        self,
        connection: RedisConnection,
        entry: WorkerEntry,
        catalog: tuple[str, bytes],
        worker_ttl: int,
        runs: Mapping[str, Run],
        claimer: Claimer,
        readers: Readers,
        reap: Callable[[str], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._entry = entry
        self._catalog = catalog
        self._catalog_due = 0.0
        self._worker_ttl = worker_ttl
        self._runs = runs
        self._claimer = claimer
        self._readers = readers
        self._reap = reap

    async def run(self) -> None:
        """Send heartbeats forever; a failed one is only logged, since the next may succeed."""
        while True:
            try:
                for dead in await self.beat():
                    await self._reap(dead)
            except (RedisConnectionLostError, ResponseError) as error:
                log.warning("heartbeat failed", problem=str(error))
                self._readers.on_unavailable(str(error))
            await asyncio.sleep(REFRESH)

    async def beat(self) -> Sequence[str]:
        """Renew the lease, apply the replies, and return the dead workers. One round trip."""
        # A fresh run has no lease to miss: the reader writes it apart from the job.
        polled = [run for run in self._runs.values() if is_past_grace(run)]
        commands = [self._heartbeat_command(), *self._publish_catalog()]
        if polled:
            commands.append(lease_query(polled))
        replies = await scripts.exchange(self._connection, commands, TIMEOUT)
        if isinstance(replies[0], ResponseError):
            raise replies[0]
        beat = scripts.parse_heartbeat(replies[0])
        self._claimer.set_suspended(beat.suspended)
        if polled:
            if isinstance(replies[-1], ResponseError):
                raise replies[-1]
            self._readers.apply_leases(polled, replies[-1])
        now = time.time()
        for run in list(self._runs.values()):
            run.check_silence(now)
        # After a long pause of this process its own lease has lapsed, too; it is alive again now.
        return [name for name in beat.dead if name != self._entry.name]

    async def deregister(self) -> None:
        """Give up the lease at once, so that clients and other workers see the end."""
        name = self._entry.name
        with contextlib.suppress(RedisConnectionLostError):
            await self._connection.exchange(
                [("HDEL", keys.DIRECTORY, name), ("ZREM", keys.LEASES, name)], TIMEOUT
            )

    def _heartbeat_command(self) -> Command:
        entry = self._entry.model_copy(update={"running": len(self._runs)})
        return scripts.heartbeat(
            entry.name,
            queues=entry.queues,
            lease_ms=LEASE_MS,
            entry=entry.model_dump_json().encode(),
            now_iso=iso(time.time()),
            worker_ttl=self._worker_ttl,
            state="busy" if self._runs else "idle",
        )

    def _publish_catalog(self) -> list[Command]:
        if time.monotonic() < self._catalog_due:
            return []
        self._catalog_due = time.monotonic() + CATALOG_REFRESH
        digest, data = self._catalog
        return [("SET", keys.catalog(digest), data, "EX", CATALOG_TTL)]
