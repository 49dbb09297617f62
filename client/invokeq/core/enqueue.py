"""Puts one invocation into its lane: the RQ job, what travels beside it, and the ring of the
bell."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from invokeq.core.directory import Directory
from invokeq.core.options import CallOptions, SessionOptions
from invokeq.core.plan import Batch, Command, Plan
from invokeq.protocol import codec, keys
from invokeq.protocol.codec import EncodedRequest
from invokeq.protocol.errors import RequestTooLargeError
from invokeq.protocol.keys import Lane
from invokeq.protocol.requests import Envelope, Request, SummaryRequest, new_request_id
from invokeq.protocol.rq_time import iso

QUEUE_TTL: Final = 86_400
"""Seconds that a job waits at most; after a day nobody wants its answer."""

NO_TIMEOUT: Final = -1
"""RQ's word for a job without a total time limit."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An invocation that is in its lane; `fresh` is false if the request id was known already."""

    request_id: str
    lane: str
    fresh: bool


class Prepared(NamedTuple):
    """A request that has been checked and encoded, with the file that goes with it."""

    request: Request
    payload: bytes
    file: bytes | None


def prepare(session: SessionOptions, request: Request, file: bytes | None = None) -> Prepared:
    """Encode a request within the session's size bound, before anything is sent."""
    payload = codec.encode_request(request)
    for field, size, limit, setting in (
        ("request", len(payload), session.max_request_bytes, "max_request_bytes"),
        ("file", len(file or b""), session.max_file_bytes, "max_file_bytes"),
    ):
        if size > limit:
            raise RequestTooLargeError(field=field, size=size, limit=limit, setting=setting)
    return Prepared(request, payload, file)


def submit(
    session: SessionOptions, directory: Directory, prepared: Prepared, call: CallOptions
) -> Plan[Submitted]:
    """Choose the lane, enqueue.

    One round trip; one more when the directory is over a second old, one more when the caller gave
    the request id (then it is enqueued only if that id is new).
    """
    provider, model = yield from _model_of(prepared.request, directory)
    queue = yield from directory.queue_for(prepared.request.model_type, provider, model)
    lane = Lane(queue, session.plugin_id)
    envelope = _envelope(session, call)
    encoded = codec.encode(envelope, prepared.payload, prepared.file)
    if call.request_id is not None and not (yield from _take_id(call.request_id)):
        return Submitted(call.request_id, lane.name, fresh=False)
    commands = enqueue_commands(session, envelope, lane, encoded, f"{provider}/{model}")
    yield Batch(commands)
    return Submitted(envelope.request_id, lane.name, fresh=True)


def enqueue_commands(
    session: SessionOptions,
    envelope: Envelope,
    lane: Lane,
    encoded: EncodedRequest,
    label: str,
) -> list[Command]:
    """Give the commands that enqueue one job; sending them twice runs it once."""
    rid = envelope.request_id
    now = iso(time.time())
    push = "LPUSH" if envelope.priority == "high" else "RPUSH"
    beside = ((keys.body_part, encoded.body_parts), (keys.file_part, encoded.file_parts))
    before: list[Command] = [
        ("SET", key_of(rid, n), part, "EX", QUEUE_TTL)
        for key_of, parts in beside
        for n, part in enumerate(parts)
    ]
    if not envelope.detached:
        before.append(("SET", keys.reader(rid), b"", "EX", int(session.orphan_timeout)))
    return [
        *before,
        ("MULTI",),
        ("HSET", keys.job(rid), *_job_fields(lane, now, encoded.job_data, label)),
        ("EXPIRE", keys.job(rid), QUEUE_TTL),
        ("SADD", keys.QUEUES, keys.lane_list(lane.name)),
        (push, keys.lane_list(lane.name), rid),
        ("SADD", keys.ready(lane.queue), lane.plugin),
        ("LPUSH", keys.bell(lane.queue), b"1"),
        ("EXEC",),
    ]


def _job_fields(lane: Lane, now: str, data: bytes, label: str) -> Sequence[str | bytes | int]:
    """The hash that RQ's own `Job.save` would write for this job."""
    return (
        *("status", "queued"),
        *("data", data),
        *("origin", lane.name),
        *("description", label),
        *("created_at", now),
        *("enqueued_at", now),
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


def _take_id(request_id: str) -> Plan[bool]:
    """Claim a request id for this submission: true for the first caller only."""
    (taken,) = yield Batch([("SET", keys.owner(request_id), b"1", "NX", "EX", QUEUE_TTL)])
    return bool(taken)


def _envelope(session: SessionOptions, call: CallOptions) -> Envelope:
    traceparent, tracestate = _trace_context()
    return Envelope(
        request_id=call.request_id or new_request_id(),
        plugin_id=session.plugin_id,
        tenant_id=session.tenant_id,
        user_id=session.user_id,
        deadline=call.deadline,
        priority=call.priority,
        detached=call.detached,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _trace_context() -> tuple[str | None, str | None]:
    """Give the W3C trace context of the caller, if the program uses OpenTelemetry."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is None:  # not loaded, so there is no span either
        return None, None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent"), carrier.get("tracestate")


def _model_of(request: Request, directory: Directory) -> Plan[tuple[str, str]]:
    """Give provider and model of a request; those of a summary are the operator's choice."""
    if isinstance(request, SummaryRequest):
        return (yield from directory.summary_model())
    return request.provider, request.model
