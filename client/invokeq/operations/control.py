"""Cancel, detach and inspect an invocation by request id."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from invokeq.operations.job_fields import number_of, text_of, time_of
from invokeq.operations.plan import CommandList, Plan
from invokeq.protocol import events
from invokeq.protocol.errors import ProtocolError, StreamExpiredError
from invokeq.protocol.events import EventId, EventKind
from invokeq.protocol.lease import DETACHED, cancel_order
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.redis.rq_time import iso
from invokeq.transport.batch import Batch

CANCEL_MEMORY: Final = 600
"""Seconds for which the order to cancel is kept."""

DETACHED_TTL: Final = 86_400
"""Seconds for which a detached invocation may go without a reader."""

State = Literal["queued", "running", "done", "failed", "cancelled"]

_STATES: Final[dict[str, State]] = {
    "queued": "queued",
    "started": "running",
    "finished": "done",
    "failed": "failed",
    "stopped": "cancelled",
    "canceled": "cancelled",
}

_ENDS: Final[dict[EventKind, State]] = {
    EventKind.DONE: "done",
    EventKind.FAILED: "failed",
    EventKind.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class InvocationStatus:
    """Where an invocation stands, by the RQ job record and the stream.

    `position` is the place in the lane, from 0, while the invocation is queued. `last_id` is the id
    of the last event.
    """

    request_id: str
    state: State
    lane: str
    attempt: int
    worker: str | None
    position: int | None
    last_id: str | None
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class _CancelFields(NamedTuple):
    """The fields of a job for cancelling, in the order of the HMGET."""

    origin: Reply
    attempt: Reply
    status: Reply
    tenant: Reply


class _StatusFields(NamedTuple):
    """The fields of a job for `status`, in the order of the HMGET."""

    status: Reply
    origin: Reply
    attempt: Reply
    worker_name: Reply
    enqueued_at: Reply
    started_at: Reply
    ended_at: Reply


def cancel(request_id: str, reason: str = "caller") -> Plan[bool]:
    """Cancel an invocation, queued or running; return False if none was queued or running.

    A queued invocation leaves the lane and never runs. A running invocation is stopped by the
    worker. Three round trips at most. Idempotent.
    """
    read = yield Batch([("HMGET", keys.job(request_id), *_CancelFields._fields)])
    lane, attempt, status, tenant = _CancelFields._make(read[0])
    if lane is None or status not in (b"queued", b"started"):
        return False
    name = text_of(lane)
    commands = CommandList()
    removed = commands.add("LREM", keys.lane_list(name), 0, request_id)
    # Race: a worker may claim the job before LREM, or miss the message. The order in the lease
    # lasts: a worker reads the lease when a run begins, and once a second.
    commands.add("SET", keys.reader(request_id), cancel_order(reason), "EX", CANCEL_MEMORY)
    commands.add("PUBLISH", keys.CANCEL_CHANNEL, f"{request_id} {reason}")
    if tenant is not None:
        commands.add("ZREM", keys.waiting(name, text_of(tenant)), request_id)
    if commands.reply(removed, (yield Batch(commands))):
        yield from _end_queued(request_id, name, number_of(attempt), reason)
    return True


def _end_queued(request_id: str, lane: str, attempt: int, reason: str) -> Plan[None]:
    """Write the end of an invocation withdrawn from the lane: no worker will."""
    now = time.time()
    # The id of the attempt that now never begins: behind all events that a reader may have seen,
    # as those of an attempt that was lost and requeued.
    end = EventId(attempt + 1, 0)
    key = keys.events(request_id)
    job = keys.job(request_id)
    yield Batch(
        [
            ("XADD", key, str(end), "k", EventKind.CANCELLED.value, "d", events.cancelled(reason)),
            ("EXPIRE", key, CANCEL_MEMORY),
            ("MULTI",),
            ("HSET", job, "status", "canceled", "ended_at", iso(now)),
            ("EXPIRE", job, CANCEL_MEMORY),
            (
                "ZADD",
                keys.registry("canceled", lane),
                int(now) + CANCEL_MEMORY,
                request_id,
            ),
            ("EXEC",),
        ]
    )


def detach(request_id: str) -> Plan[None]:
    """Let an invocation run on without a reader. One round trip."""
    yield Batch([("SET", keys.reader(request_id), DETACHED, "EX", DETACHED_TTL)])


def status(request_id: str) -> Plan[InvocationStatus]:
    """Return where an invocation stands. Two round trips at most.

    Raises StreamExpiredError for an unknown invocation.
    """
    commands = CommandList()
    job_slot = commands.add("HMGET", keys.job(request_id), *_StatusFields._fields)
    top_slot = commands.add("XREVRANGE", keys.events(request_id), "+", "-", "COUNT", 1)
    replies = yield Batch(commands)
    job = _StatusFields._make(commands.reply(job_slot, replies))
    top = commands.reply(top_slot, replies)
    state, lane, attempt = text_of(job.status), text_of(job.origin), number_of(job.attempt)
    if state not in _STATES:
        raise StreamExpiredError(stream=request_id, request_id=request_id)
    known = _STATES[state]
    if known == "running" and top:  # race: the job record is finalized after the last event
        known = _ended(top[0], attempt) or known
    position: int | None = None
    if state == "queued":
        (position,) = yield Batch([("LPOS", keys.lane_list(lane), request_id)])
    return InvocationStatus(
        request_id=request_id,
        state=known,
        lane=lane,
        attempt=attempt,
        worker=text_of(job.worker_name) or None,
        position=position,
        last_id=top[0][0].decode() if top else None,
        enqueued_at=time_of(job.enqueued_at),
        started_at=time_of(job.started_at),
        ended_at=time_of(job.ended_at),
    )


def _ended(entry: Reply, attempt: int) -> State | None:
    """Return how an attempt ended by the last entry of the stream, None if still running."""
    entry_id, flat = entry
    try:
        last = events.unpack(entry_id, events.fields_of(flat))[-1]
    except ProtocolError:
        return None
    return _ENDS.get(last.kind) if last.id.attempt >= attempt else None
