"""Cleans up after dead workers: what they had said nothing about yet goes back, the rest ends in an
error.

Of each attempt of a dead worker the stream is shut first (a `lost` event with the highest sequence
there is), so that a worker that was only frozen cannot write into it any more. Only then is it
decided: ended, but for the books, which on a cluster are elsewhere: they are closed as the last
event says. Nothing said, and the attempts not used up: back to the head of its lane. Otherwise a
`failed` event with WorkerLostError. Whoever finds a dead worker does this; a lock of some seconds
keeps two from doing it at once, and both doing it would do no harm.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol import events
from invokeq.protocol.errors import ProtocolError, WorkerLostError
from invokeq.protocol.events import ANSWERS, LAST_SEQUENCE, TERMINAL, EventId, EventKind
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.connection import RedisConnection
from invokeq_worker.config.values import Retention
from invokeq_worker.engine import job_records
from invokeq_worker.engine.job_records import Ending
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed

LOCK_MS: Final = 10_000
"""How long one worker has the cleaning of a dead one to itself."""

TIMEOUT: Final = 10.0

_ENDINGS: Final = {
    EventKind.DONE: Ending.FINISHED,
    EventKind.FAILED: Ending.FAILED,
    EventKind.CANCELLED: Ending.CANCELED,
}
_UNKNOWN: Final = "The worker died before it had written down why; the stream says it."

log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an attempt whose worker is dead."""

    job: Claimed
    spoken: int
    """Events of the answer that were written; 0 if it may be run again without anyone noticing."""

    ended: EventKind | None
    """Its terminal event, if that was written."""


def may_run_again(found: Found, max_attempts: int) -> bool:
    """Nothing of an answer may be said twice, and a job that kills its workers must not go on for
    ever."""
    return found.ended is None and found.spoken == 0 and found.job.attempt < max_attempts


class Reaper:
    """Cleans up after the workers that the heartbeat names."""

    def __init__(
        self, link: RedisConnection, worker: str, retention: Retention, max_attempts: int
    ) -> None:
        self._link = link
        self._worker = worker
        self._retention = retention
        self._max_attempts = max_attempts

    async def reap(self, dead: str) -> None:
        """Settle everything that `dead` was running, then strike it off; repeatable at any
        point."""
        lock = await self._link.execute(
            "SET", keys.reaping(dead), self._worker, "NX", "PX", LOCK_MS, timeout=TIMEOUT
        )
        if not lock:
            return
        members = await self._link.execute(
            "SMEMBERS", keys.worker_executions(dead), timeout=TIMEOUT
        )
        log.warning("worker is dead", dead=dead, executions=len(members))
        for member in members:
            request_id, _, execution = member.decode().partition(":")
            try:
                await self.settle(dead, request_id, execution)
            except ResponseError as error:  # the others are not to suffer for one that is odd
                log.warning("could not settle", request_id=request_id, problem=str(error))
        await self._strike_off(dead)

    async def settle(self, dead: str, request_id: str, execution: str) -> None:
        """End one attempt of a dead worker, or put its job back."""
        found = await self._find(dead, request_id, execution)
        if found is None:
            return
        job = found.job
        if may_run_again(found, self._max_attempts):
            log.warning("taken over", request_id=job.id, attempt=job.attempt)
            await self._send(
                scripts.requeue(dead, job.lane, job.id, job.execution, self._retention.queue_ttl)
            )
            return
        if found.ended is not None:
            await self._close_books(dead, job, found.ended)
            return
        error = WorkerLostError(
            request_id=job.id, attempt=job.attempt, worker=dead, events=found.spoken
        )
        log.warning("invocation lost", request_id=job.id, attempt=job.attempt, events=found.spoken)
        now = time.time()
        closing = job_records.close(
            job,
            Ending.FAILED,
            started=now,
            ended=now,
            retention=self._retention,
            exception=f"WorkerLostError: {error}",
        )
        key = keys.events(job.id)
        await self._send(
            _append(
                key, EventId(job.attempt + 1, 0), EventKind.FAILED, events.failed(error.to_wire())
            ),
            ("EXPIRE", key, self._retention.result_ttl),
            scripts.finish(dead, [closing]),
        )

    async def _close_books(self, dead: str, job: Claimed, ended: EventKind) -> None:
        """Do what a worker did not live to do after its last event."""
        log.warning("books closed", request_id=job.id, attempt=job.attempt, ended=ended)
        ending = _ENDINGS[ended]
        now = time.time()
        closing = job_records.close(
            job,
            ending,
            started=now,
            ended=now,
            retention=self._retention,
            exception=_UNKNOWN if ending is Ending.FAILED else "",
        )
        await self._send(
            ("EXPIRE", keys.events(job.id), self._retention.result_ttl),
            scripts.finish(dead, [closing]),
        )

    async def _find(self, dead: str, request_id: str, execution: str) -> Found | None:
        """Shut the attempt's stream and look at what it says. Two round trips."""
        (lane, attempt), (request_id_lock, status) = await self._send(
            # A plugin can write to the hash of its job, so this is where its lane is believed.
            ("HMGET", keys.execution(request_id, execution), "lane", "attempt"),
            ("HMGET", keys.job(request_id), "worker_name", "status"),
        )
        composite = f"{request_id}:{execution}"
        if lane is None or request_id_lock != dead.encode() or status != b"started":
            await self._send(("SREM", keys.worker_executions(dead), composite))
            return None
        key = keys.events(request_id)
        number = int(attempt)
        shut = _append(key, EventId(number, LAST_SEQUENCE), EventKind.LOST, events.lost(dead))
        said = ("XRANGE", key, f"{number}-0", str(EventId(number, LAST_SEQUENCE - 1)))
        _, entries = await self._send(shut, said)
        job = Claimed(lane.decode(), request_id, execution, number, False, b"")
        return Found(job, *_said(entries))

    async def _send(self, *commands: Command) -> list[Reply]:
        """Exchange commands of which only an XADD may be refused: then its event is there
        already."""
        replies = await scripts.exchange(self._link, commands, TIMEOUT)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ResponseError) and command[0] != "XADD":
                raise reply
        return replies

    async def _strike_off(self, dead: str) -> None:
        """Remove a worker from RQ's books and ours, as RQ does when one says good-bye."""
        found = await self._link.execute("SMEMBERS", keys.QUEUES, timeout=TIMEOUT)
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


def _said(entries: Any) -> tuple[int, EventKind | None]:
    """Count the events of the answer in the entries of one attempt, of which one that nobody can
    read is one; and give its terminal event."""
    count, ended = 0, None
    for entry_id, flat in entries:
        try:
            found = events.unpack(entry_id, events.fields_of(flat))
        except ProtocolError:
            count += 1
            continue
        if entry_id == entries[0][0]:  # what was trimmed before it were answers, but for `started`
            count += max(0, found[0].id.sequence - 1)
        count += sum(event.kind in ANSWERS for event in found)
        ended = next((event.kind for event in found if event.kind in TERMINAL), ended)
    return count, ended
