"""Push one call into a lane: the RQ job, the body parts and file, and the wakeup of a worker."""

import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from invokeq.operations import admission, control
from invokeq.operations.admission import Admission
from invokeq.operations.call import Call
from invokeq.operations.directory import Directory
from invokeq.operations.options import SessionOptions
from invokeq.operations.plan import CommandList, Plan, Slot
from invokeq.protocol import codec
from invokeq.protocol.codec import EncodedRequest
from invokeq.protocol.errors import QueueFullError
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.redis.rq_time import iso
from invokeq.protocol.requests import CallRequest, Envelope, ModelRequest, new_request_id
from invokeq.transport.batch import Batch

QUEUE_TTL: Final = 86_400
"""Seconds for which a job waits at most; after a day the answer is useless."""

NO_TIMEOUT: Final = -1
"""RQ's word for a job without a total time limit."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """An invocation in a lane; `fresh` is false if the request id was known already."""

    request_id: str
    lane: str
    fresh: bool


class PendingJob(NamedTuple):
    """A call on the way into a lane; `label` names the model."""

    call: Call[Any, Any]
    request_id: str
    admitted: Admission
    label: str

    def submitted(self, fresh: bool) -> SubmitResult:
        """Return the result of the submission."""
        return SubmitResult(self.request_id, self.admitted.lane.name, fresh)


def submit(
    session: SessionOptions,
    directory: Directory,
    call: Call[Any, Any],
    begun: list[PendingJob],
) -> Plan[SubmitResult]:
    """Choose the lane, and push the job unless the request id is known already.

    One round trip; one more when the directory is over a second old, one more when the caller gave
    the request id, two or three more when the job has to be withdrawn. Raises QueueFullError, and
    leaves nothing behind, when too many jobs wait. `begun` receives the job before the job may be
    in Redis, so that a caller whose submission is interrupted can `withdraw_or_cancel`.
    """
    entry = yield from choose_lane(session, directory, call)
    fresh = yield from claim_request_id(entry)
    if fresh:
        begun.append(entry)
        try:
            yield from push_job(session, directory, entry)
        except QueueFullError:
            begun.clear()  # it has been withdrawn already
            raise
    return entry.submitted(fresh)


def choose_lane(
    session: SessionOptions, directory: Directory, call: Call[Any, Any]
) -> Plan[PendingJob]:
    """Return the call with its lane and request id. No round trip while the directory is fresh."""
    provider, model = yield from _model_of(call.request, directory)
    queue = yield from directory.queue_for(call.request.model_type, provider, model)
    lane = Lane(queue, session.lane or session.plugin_id)
    admitted = Admission.of(lane, directory.bounds(queue), session.tenant_id)
    request_id = call.options.request_id or new_request_id()
    return PendingJob(call, request_id, admitted, f"{provider}/{model}")


def claim_request_id(entry: PendingJob) -> Plan[bool]:
    """Claim the request id; return whether the submission is the first one of the id.

    One round trip for an id of the caller; none for a generated id.
    """
    if entry.call.options.request_id is None:
        return True
    key, mark = keys.request_id_lock(entry.request_id), secrets.token_bytes(8)
    commands = CommandList()
    commands.add("SET", key, mark, "NX", "EX", QUEUE_TTL)
    # Race: after a lost connection the batch is sent again, and NX would then find the lock that
    # its own first sending has set. So the lock is read back and compared.
    holder = commands.add("GET", key)
    return commands.reply(holder, (yield Batch(commands))) == mark


def push_job(
    session: SessionOptions, directory: Directory, entry: PendingJob, *, wakes: bool = True
) -> Plan[None]:
    """Push the job within the bounds; wake a worker unless `wakes` is false. One round trip."""
    call, rid, admitted, label = entry
    queue = admitted.lane.queue
    try:
        admission.check_queue(queue, directory.depth(queue), admitted.bounds)
    except QueueFullError:
        yield Batch([("EXPIRE", keys.request_id_lock(rid), 0)])
        raise
    # Counted before the push: until workers count again, other threads of this session see the job.
    directory.count(queue)
    envelope = _envelope(session, entry)
    encoded = codec.encode(envelope, call.payload, call.file)
    enqueueing = enqueue_commands(session, envelope, admitted, encoded, label, wakes=wakes)
    replies = yield Batch(enqueueing.commands)
    full = yield from admission.over_bound(
        admitted, enqueueing.depth(replies), enqueueing.tenant_depth(replies)
    )
    # Race: a worker may claim the job before it is withdrawn. Then the job does not wait any more,
    # the bound holds, and the call goes on.
    if full is not None and (yield from withdraw_job(directory, entry)):
        full.request_id = rid
        raise full


def withdraw_job(directory: Directory, entry: PendingJob) -> Plan[bool]:
    """Undo `push_job` and `claim_request_id`; return False if a worker has claimed the job.

    Two round trips.
    """
    if not (yield from _withdraw(entry)):
        return False
    directory.count(entry.admitted.lane.queue, -1)
    return True


def withdraw_or_cancel(entry: PendingJob) -> Plan[None]:
    """Undo a submission that was interrupted: withdraw the job, or cancel a job that runs."""
    if not (yield from _withdraw(entry)):
        yield from control.cancel(entry.request_id)


def _withdraw(entry: PendingJob) -> Plan[bool]:
    call, rid, admitted, _ = entry
    body, file = codec.parts_beside(call.payload, call.file)
    beside = [
        *(keys.body_part(rid, n) for n in range(body)),
        *(keys.file_part(rid, n) for n in range(file)),
        *(keys.reader(rid), keys.request_id_lock(rid)),
    ]
    return (yield from admission.withdraw_job(admitted, rid, beside))


class Enqueueing(NamedTuple):
    """The commands that enqueue one job, and the slots of the replies for admission."""

    commands: CommandList
    push: Slot
    tenant_count: Slot | None

    def depth(self, replies: Sequence[Reply]) -> int:
        """Return how many jobs wait in the lane, the pushed job included."""
        return self.commands.reply(self.push, replies)

    def tenant_depth(self, replies: Sequence[Reply]) -> int | None:
        """Return how many jobs of the tenant wait in the lane, or None without a bound."""
        if self.tenant_count is None:
            return None
        return self.commands.reply(self.tenant_count, replies)


def enqueue_commands(
    session: SessionOptions,
    envelope: Envelope,
    admitted: Admission,
    encoded: EncodedRequest,
    label: str,
    *,
    wakes: bool = True,
) -> Enqueueing:
    """Return the commands that enqueue one job. Idempotent: sent twice, the job runs once."""
    rid, lane = envelope.request_id, admitted.lane
    now = time.time()
    job, lane_list = keys.job(rid), keys.lane_list(lane.name)
    commands = CommandList()
    for key_of, parts in (
        (keys.body_part, encoded.body_parts),
        (keys.file_part, encoded.file_parts),
    ):
        for number, part in enumerate(parts):
            commands.add("SET", key_of(rid, number), part, "EX", QUEUE_TTL)
    if not envelope.detached:
        commands.add("SET", keys.reader(rid), b"", "EX", int(session.orphan_timeout))
    fields = _job_fields(lane.name, iso(now), encoded.job_data, label)
    # Workers see the job only through the lane, so all that it needs is there before the push.
    commands.begin()
    commands.add("HSET", job, *fields, *admitted.job_fields)
    commands.add("EXPIRE", job, QUEUE_TTL)
    push = commands.add("LPUSH" if envelope.priority == "high" else "RPUSH", lane_list, rid)
    if wakes:
        commands.add("SADD", keys.QUEUES, lane_list)
        commands.add("SADD", keys.ready(lane.queue), lane.plugin)
        commands.add("LPUSH", keys.wakeup(lane.queue), b"1")
    tenant_count = admitted.add_count(commands, rid, now)
    commands.commit()
    return Enqueueing(commands, push, tenant_count)


def _job_fields(lane: str, now: str, data: bytes, label: str) -> Sequence[str | bytes | int]:
    """Return the fields of the job, as written by RQ's `Job.save`."""
    told = ("data", data, "origin", lane, "description", label, "created_at", now)
    return (*told, "enqueued_at", now, *_SAME_FOR_ALL)


_SAME_FOR_ALL: Final = (
    *("status", "queued"),
    *("started_at", ""),
    *("ended_at", ""),
    *("last_heartbeat", ""),
    *("worker_name", ""),
    *("group_id", ""),
    *("timeout", NO_TIMEOUT),
    *("ttl", QUEUE_TTL),
    *("success_callback_name", ""),
    *("failure_callback_name", ""),
    *("stopped_callback_name", ""),
)


def _envelope(session: SessionOptions, entry: PendingJob) -> Envelope:
    traceparent, tracestate = _trace_context()
    options = entry.call.options
    return Envelope(
        request_id=entry.request_id,
        plugin_id=session.plugin_id,
        tenant_id=session.tenant_id,
        user_id=session.user_id,
        deadline=options.deadline,
        priority=options.priority,
        detached=options.detached,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _trace_context() -> tuple[str | None, str | None]:
    """Return the W3C trace context of the caller, if the program uses OpenTelemetry."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is None:  # not loaded, so there is no span either
        return None, None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent"), carrier.get("tracestate")


def _model_of(request: CallRequest, directory: Directory) -> Plan[tuple[str, str]]:
    """Return provider and model of a request; for a summary, the operator's choice."""
    if isinstance(request, ModelRequest):
        return request.provider, request.model
    return (yield from directory.summary_model())
