"""Once a second: renew the lease, hear which readers have gone, which workers are dead, who is
silent.

Cost: one round trip a second, whatever runs: the lease script and one MGET over the readers'
leases, which also say how far the readers have come.
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
from invokeq_worker.engine.claimer import Claimer
from invokeq_worker.engine.readers import Readers, is_settled, leases_of
from invokeq_worker.engine.run import Run
from invokeq_worker.redis import scripts

REFRESH: Final = 1.0
"""Seconds between heartbeats."""

LEASE_MS: Final = 5_000
"""A worker that has not been heard of for this long is dead."""

CATALOG_REFRESH: Final = 60.0
"""Seconds between renewals of the catalog's TTL."""

TIMEOUT: Final = 2.0
"""Seconds for one beat: half open, a connection is replaced before the lease lapses."""

log: Final = structlog.get_logger(__name__)


class Heartbeat:
    """The lease of one worker, and what it learns while renewing it."""

    def __init__(
        self,
        link: RedisConnection,
        entry: WorkerEntry,
        catalog: tuple[str, bytes],
        worker_ttl: int,
        runs: Mapping[str, Run],
        claimer: Claimer,
        readers: Readers,
        reap: Callable[[str], Awaitable[None]],
    ) -> None:
        self._link = link
        self._entry = entry
        self._catalog = catalog
        self._catalog_due = 0.0
        self._worker_ttl = worker_ttl
        self._runs = runs
        self._claimer = claimer
        self._readers = readers
        self._reap = reap

    async def run(self) -> None:
        """Beat for ever; a beat that fails is only logged, the next one may succeed."""
        while True:
            try:
                for dead in await self.beat():
                    await self._reap(dead)
            except (RedisConnectionLostError, ResponseError) as error:
                log.warning("heartbeat failed", problem=str(error))
                self._readers.missed(str(error))
            await asyncio.sleep(REFRESH)

    async def beat(self) -> Sequence[str]:
        """Renew the lease, act on what came back, and name the dead workers. One round trip."""
        settled = [run for run in self._runs.values() if is_settled(run)]
        commands = [self._tick(), *self._publish_catalog()]
        if settled:
            commands.append(leases_of(settled))
        replies = await scripts.exchange(self._link, commands, TIMEOUT)
        if isinstance(replies[0], ResponseError):
            raise replies[0]
        _, suspended, dead = replies[0]
        self._claimer.suspended(bool(suspended))
        if settled:
            if isinstance(replies[-1], ResponseError):
                raise replies[-1]
            self._readers.hear(settled, replies[-1])
        now = time.time()
        for run in list(self._runs.values()):
            run.check_silence(now)
        return [name.decode() for name in dead if name.decode() != self._entry.name]

    async def resign(self) -> None:
        """Give the lease up, so that clients and other workers know at once."""
        name = self._entry.name
        with contextlib.suppress(RedisConnectionLostError):
            await self._link.exchange(
                [("HDEL", keys.DIRECTORY, name), ("ZREM", keys.LEASES, name)], TIMEOUT
            )

    def _tick(self) -> Command:
        entry = self._entry.model_copy(update={"running": len(self._runs)})
        return scripts.heartbeat(
            entry.name,
            entry.queues,
            LEASE_MS,
            entry.model_dump_json().encode(),
            iso(time.time()),
            self._worker_ttl,
            "busy" if self._runs else "idle",
        )

    def _publish_catalog(self) -> list[Command]:
        if time.monotonic() < self._catalog_due:
            return []
        self._catalog_due = time.monotonic() + CATALOG_REFRESH
        digest, data = self._catalog
        return [("SET", keys.catalog(digest), data, "EX", CATALOG_TTL)]
