"""Clean up after dead workers: redeliver jobs without output, end all others with an error.

The stream of a dead worker's attempt is fenced first: a `lost` event with the highest possible
sequence. A worker that was only frozen can write no more. Then the stream decides:

- A terminal event: only RQ's job records are missing, which a cluster keeps on another node. The
  records are finalized by the event.
- No output, and attempts left: the job goes back to the head of the lane.
- Otherwise: a `failed` event with WorkerLostError.

Every worker looks for dead ones. A short lock keeps two from doing the work twice; reaping
is idempotent, so both together would do no harm.
"""

import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol import events
from invokeq.protocol.errors import ProtocolError, WorkerLostError
from invokeq.protocol.events import ANSWERS, LAST_SEQUENCE, TERMINAL, EventId, EventKind
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.connection import RedisConnection
from invokeq_worker.attempts.finalize import Ending, build_closing
from invokeq_worker.config.values import Retention
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed

LOCK_MS: Final = 10_000
"""Milliseconds for which one worker alone may reap a dead one."""

TIMEOUT: Final = 10.0
"""Seconds for one exchange with Redis."""

_ENDINGS: Final = {
    EventKind.DONE: Ending.FINISHED,
    EventKind.FAILED: Ending.FAILED,
    EventKind.CANCELLED: Ending.CANCELED,
}
_UNKNOWN: Final = "The worker died before it had written down why; the stream says it."

log: Final = structlog.get_logger(__name__)


class Written(NamedTuple):
    """The content of the stream of one attempt."""

    emitted: int
    """Events of the answer; 0 if a redelivery goes unnoticed."""

    ended: EventKind | None
    """The terminal event, or None."""


@dataclass(frozen=True, slots=True)
class DeadAttempt:
    """An attempt of a dead worker, and the content of the stream."""

    job: Claimed
    written: Written


def can_redeliver(attempt: DeadAttempt, max_attempts: int) -> bool:
    """Return whether the job may run again.

    No part of an answer may be emitted twice, and a job that kills workers must not go on
    forever.
    """
    written = attempt.written
    return written.ended is None and written.emitted == 0 and attempt.job.attempt < max_attempts


class Reaper:
    """Cleans up after the dead workers found by the heartbeat."""

    def __init__(
        self, connection: RedisConnection, worker: str, retention: Retention, max_attempts: int
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._retention = retention
        self._max_attempts = max_attempts

    async def reap(self, dead: str) -> None:
        """Resolve all attempts of a dead worker, then deregister the worker; idempotent."""
        lock = await self._connection.execute(
            "SET", keys.reaping(dead), self._worker, "NX", "PX", LOCK_MS, timeout=TIMEOUT
        )
        if not lock:
            return
        executions = keys.worker_executions(dead)
        members = await self._connection.execute("SMEMBERS", executions, timeout=TIMEOUT)
        log.warning("worker dead", dead=dead, executions=len(members))
        for member in members:
            request_id, _, execution = member.decode().partition(":")
            try:
                await self.resolve(dead, request_id, execution)
            except ResponseError as error:  # one malformed job must not keep the others waiting
                log.warning("reap failed", request_id=request_id, problem=str(error))
        await self._deregister_dead(dead)

    async def resolve(self, dead: str, request_id: str, execution: str) -> None:
        """End one attempt of a dead worker, or redeliver the job."""
        attempt = await self._fence(dead, request_id, execution)
        if attempt is None:
            return
        job = attempt.job
        if can_redeliver(attempt, self._max_attempts):
            log.warning("invocation redelivered", request_id=job.id, attempt=job.attempt)
            await self._send(
                scripts.requeue(
                    dead,
                    lane=job.lane,
                    request_id=job.id,
                    execution=job.execution,
                    ttl=self._retention.queue_ttl,
                )
            )
        elif attempt.written.ended is not None:
            await self._finalize_ended(dead, job, attempt.written.ended)
        else:
            await self._fail_lost(dead, job, attempt.written.emitted)

    async def _fail_lost(self, dead: str, job: Claimed, emitted: int) -> None:
        """Emit WorkerLostError to the reader of a job without attempts left."""
        error = WorkerLostError(request_id=job.id, attempt=job.attempt, worker=dead, events=emitted)
        log.warning("invocation lost", request_id=job.id, attempt=job.attempt, events=emitted)
        key = keys.events(job.id)
        # Above the fence, which is the last id of the dead attempt.
        event_id = EventId(job.attempt + 1, 0)
        await self._send(
            _append(key, event_id, EventKind.FAILED, events.failed(error.to_wire())),
            *self._finalize(dead, job, Ending.FAILED, f"WorkerLostError: {error}"),
        )

    async def _finalize_ended(self, dead: str, job: Claimed, ended: EventKind) -> None:
        """Finalize a job after a worker died behind the terminal event."""
        log.warning(
            "rq job finalized for dead worker", request_id=job.id, attempt=job.attempt, ended=ended
        )
        ending = _ENDINGS[ended]
        exception = _UNKNOWN if ending is Ending.FAILED else ""
        await self._send(*self._finalize(dead, job, ending, exception))

    def _finalize(
        self, dead: str, job: Claimed, ending: Ending, exception: str
    ) -> tuple[Command, Command]:
        """Return the commands for expiring the stream and writing RQ's job records."""
        now = time.time()
        closing = build_closing(
            job,
            ending,
            started=now,
            ended=now,
            retention=self._retention,
            exception=exception,
        )
        return (
            ("EXPIRE", keys.events(job.id), self._retention.result_ttl),
            scripts.finish(dead, [closing]),
        )

    async def _fence(self, dead: str, request_id: str, execution: str) -> DeadAttempt | None:
        """Fence an attempt and read the stream; return None for a job of another worker.

        Two round trips.
        """
        (lane, attempt), (owner, status) = await self._send(
            # The lane of the execution is trusted: a plugin can write to the hash of its job only.
            ("HMGET", keys.execution(request_id, execution), "lane", "attempt"),
            ("HMGET", keys.job(request_id), "worker_name", "status"),
        )
        composite = f"{request_id}:{execution}"
        # An earlier reaper may have been here and died, and the job may be with another worker now.
        if lane is None or owner != dead.encode() or status != b"started":
            await self._send(("SREM", keys.worker_executions(dead), composite))
            return None
        key = keys.events(request_id)
        number = int(attempt)
        fence = _append(key, EventId(number, LAST_SEQUENCE), EventKind.LOST, events.lost(dead))
        written = ("XRANGE", key, f"{number}-0", str(EventId(number, LAST_SEQUENCE - 1)))
        # In this order: what is read after the fence cannot grow any more.
        _, entries = await self._send(fence, written)
        job = Claimed(lane.decode(), request_id, execution, number, False, b"")
        return DeadAttempt(job, _read_attempt(entries))

    async def _send(self, *commands: Command) -> list[Reply]:
        """Exchange commands, and raise the error of any but an XADD.

        An XADD is refused after an earlier reaper has written the event.
        """
        replies = await scripts.exchange(self._connection, commands, TIMEOUT)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ResponseError) and command[0] != "XADD":
                raise reply
        return replies

    async def _deregister_dead(self, dead: str) -> None:
        """Remove a dead worker's records, RQ's and invokeq's, as at a normal end."""
        found = await self._connection.execute("SMEMBERS", keys.QUEUES, timeout=TIMEOUT)
        lanes = [keys.lane_of(lane.decode(errors="replace")) for lane in found]
        key = keys.worker(dead)
        await self._send(
            ("SREM", keys.WORKERS, key),
            *(("SREM", keys.lane_workers(lane), key) for lane in lanes),
            ("DEL", key, keys.worker_executions(dead)),
            ("HDEL", keys.DIRECTORY, dead),
            ("ZREM", keys.LEASES, dead),
            ("DEL", keys.reaping(dead)),
        )


def _append(key: str, event_id: EventId, kind: EventKind, payload: bytes) -> Command:
    return ("XADD", key, str(event_id), "k", kind.value, "d", payload)


def _read_attempt(entries: Any) -> Written:
    """Count the events of the answer in the entries of one attempt, and find the terminal event.

    A malformed entry counts as one event.
    """
    count, ended = 0, None
    for entry_id, flat in entries:
        try:
            found = events.unpack(entry_id, events.fields_of(flat))
        except ProtocolError:
            count += 1
            continue
        if entry_id == entries[0][0]:  # trimmed events were of the answer, except for `started`
            count += max(0, found[0].id.sequence - 1)
        count += sum(event.kind in ANSWERS for event in found)
        ended = next((event.kind for event in found if event.kind in TERMINAL), ended)
    return Written(count, ended)
