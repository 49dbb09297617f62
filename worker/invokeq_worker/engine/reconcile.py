"""Requeue orphaned claims: jobs of a claim without a reply, after a broken connection."""

from typing import Final

import structlog

from invokeq.protocol.redis import keys
from invokeq.transport.connection import RedisConnection
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.writer import Writer

TIMEOUT: Final = 5.0
"""Seconds for reading the claims from Redis."""

log: Final = structlog.get_logger(__name__)


class Reconciler:
    """The claims held by the process, to be compared with the claims in Redis.

    `queue_ttl` is how many seconds a requeued job may wait.
    """

    def __init__(
        self, connection: RedisConnection, worker: str, writer: Writer, queue_ttl: int
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._writer = writer
        self._queue_ttl = queue_ttl
        self._held: set[str] = set()

    def hold(self, job: Claimed) -> None:
        """Record a claim after its reply has arrived."""
        self._held.add(f"{job.id}:{job.execution}")

    def release(self, job: Claimed) -> None:
        """Forget a finalized, requeued or fenced claim."""
        self._held.discard(f"{job.id}:{job.execution}")

    async def reconcile(self) -> None:
        """Requeue claims in Redis that the process does not hold."""
        # The heartbeat uses the connection meanwhile, in another task.
        connection = self._connection.clone()
        try:
            executions = keys.worker_executions(self._worker)
            for member in await connection.execute("SMEMBERS", executions, timeout=TIMEOUT):
                composite = member.decode()
                # Held until Redis has confirmed the end: a job that is just being finalized is
                # still in the set, and must not be requeued.
                if composite not in self._held:
                    request_id, _, execution = composite.partition(":")
                    await self._requeue(connection, request_id, execution)
        finally:
            await connection.close()

    async def _requeue(self, connection: RedisConnection, request_id: str, execution: str) -> None:
        key = keys.execution(request_id, execution)
        lane = await connection.execute("HGET", key, "lane", timeout=TIMEOUT)
        if lane:
            log.warning("orphaned claim requeued", request_id=request_id)
            self._writer.command(
                scripts.requeue(
                    self._worker,
                    lane=lane.decode(),
                    request_id=request_id,
                    execution=execution,
                    ttl=self._queue_ttl,
                )
            )
