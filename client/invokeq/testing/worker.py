"""The fake worker: answers by scripts, and writes events as a real worker does.

Reads advance an invocation: `queued` until the first read, then `running`, one event a read. A
detached invocation runs to the end at once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from invokeq.protocol import codec, events
from invokeq.protocol.codec import join_body
from invokeq.protocol.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    DeadlineExceededError,
    InvalidConfigurationError,
    InvokeqError,
    ModelNotFoundError,
    NotServedError,
    NoWorkerError,
    ProviderNotFoundError,
    QueueFullError,
    RequestTooLargeError,
)
from invokeq.protocol.events import EventId, EventKind
from invokeq.protocol.kinds import CallKind, builtin_kinds, call_kinds, find_kind, resolve
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.rq_time import iso
from invokeq.protocol.requests import BodyRef, CallRequest, Envelope
from invokeq.protocol.usage import Usage
from invokeq.testing.memory_redis import MemoryRedis, Worker
from invokeq.testing.script import FakeEvent, Output, Script

NAME: Final = "fake"
"""Name of the fake worker."""

ATTEMPT: Final = 1

_AT_SUBMIT: Final = (
    BrokerFullError,
    BrokerUnavailableError,
    InvalidConfigurationError,
    ModelNotFoundError,
    NoWorkerError,
    ProviderNotFoundError,
    QueueFullError,
    RequestTooLargeError,
)
"""Errors raised by a real session before the job is in a lane."""


class Run:
    """One invocation: the rest of the answer, and how many events are written."""

    def __init__(self, lane: str, answer: Iterator[Output]) -> None:
        self.lane = lane
        self.answer = answer
        self.events = 0
        self.usage: Usage | None = None
        self.ended = False

    @property
    def told_usage(self) -> dict[str, Any] | None:
        """Return the usage as JSON, for the terminal event."""
        return None if self.usage is None else self.usage.model_dump(mode="json")


class FakeWorker(Worker):
    """Claims the jobs of one fake session, and answers by the session's scripts."""

    def __init__(self, redis: MemoryRedis) -> None:
        self.calls: list[CallRequest] = []
        self._redis = redis
        self._runs: dict[str, Run] = {}
        self._scripts: dict[str, Script[Any, Any]] = {}

    def script(self, kind: CallKind) -> Script[Any, Any]:
        """Return the script of a kind; kinds with one attribute have one script."""
        builtin = kind.name in builtin_kinds()
        where = kind.attribute if builtin else f"of({kind.name!r})"
        if where not in self._scripts:
            self._scripts[where] = Script(f"session.model.{where}", resolve_fake(kind))
        return self._scripts[where]

    def on_push(self, request_id: str) -> None:
        job = keys.job(request_id)
        envelope = codec.decode_job(self._redis.run("HGET", job, "data"))
        request, file = self._load(envelope)
        self.calls.append(request)
        kind = _kind_of(request.kind)
        answer = self.script(kind).answer(request, file, len(self.calls))
        # Raised out of the push, as `submit` of a real session raises; all other errors are events.
        if isinstance(answer, _AT_SUBMIT):
            raise answer
        lane: bytes = self._redis.run("HGET", job, "origin")
        output = iter([answer]) if isinstance(answer, InvokeqError) else answer
        self._runs[request_id] = Run(lane.decode(), output)
        if envelope.detached:
            self.on_detach(request_id)

    def on_read(self, request_id: str) -> bool:
        run = self._runs.get(request_id)
        if run is None or run.ended or not self._is_open(request_id):
            return False
        if run.events == 0:
            self._claim(request_id, run)
        else:
            self._advance(request_id, run)
        return True

    def on_detach(self, request_id: str) -> None:
        while self.on_read(request_id):
            pass

    def on_cancel(self, request_id: str, reason: str) -> None:
        run = self._runs.get(request_id)
        if run is not None and run.events and not run.ended:
            self._end(request_id, run, EventKind.CANCELLED, events.cancelled(reason))

    def _is_open(self, request_id: str) -> bool:
        """Return whether a job is queued or running; a caller may withdraw or cancel the job."""
        return self._redis.run("HGET", keys.job(request_id), "status") in (b"queued", b"started")

    def _claim(self, request_id: str, run: Run) -> None:
        now = datetime.now(UTC).timestamp()
        self._redis.run("LREM", keys.lane_list(run.lane), 1, request_id)
        fields = ("status", "started", "worker_name", NAME, "attempt", ATTEMPT)
        self._redis.run("HSET", keys.job(request_id), *fields, "started_at", iso(now))
        self._write(request_id, run, FakeEvent(EventKind.STARTED, events.started(NAME, now)))

    def _advance(self, request_id: str, run: Run) -> None:
        item = next(run.answer, None)
        if isinstance(item, FakeEvent):
            run.usage = item.usage or run.usage
            self._write(request_id, run, item)
        elif item is None:
            self._end(request_id, run, EventKind.DONE, events.done(run.told_usage))
        # A real worker cancels at the deadline, and the reader turns that event into the error.
        elif isinstance(item, DeadlineExceededError):
            usage = getattr(item, "usage", None) or run.told_usage
            data = events.cancelled(events.DEADLINE, usage, getattr(item, "stage", None))
            self._end(request_id, run, EventKind.CANCELLED, data)
        else:
            self._end(request_id, run, EventKind.FAILED, events.failed(item.to_wire()))

    def _write(self, request_id: str, run: Run, event: FakeEvent) -> None:
        kind, data = events.entry_fields([event.kind], [event.data])
        entry_id = str(EventId(ATTEMPT, run.events))
        blob = ("b", event.blob) if event.blob else ()
        self._redis.run("XADD", keys.events(request_id), entry_id, "k", kind, "d", data, *blob)
        run.events += 1

    def _end(self, request_id: str, run: Run, kind: EventKind, data: bytes) -> None:
        self._write(request_id, run, FakeEvent(kind, data))
        run.ended = True
        ended = iso(datetime.now(UTC).timestamp())
        self._redis.run("HSET", keys.job(request_id), "status", _STATUS[kind], "ended_at", ended)

    def _load(self, envelope: Envelope) -> tuple[CallRequest, bytes | None]:
        """Return the request of a job, decoded as by a worker, and the file."""
        rid = envelope.request_id
        body = envelope.body and self._joined(envelope.body, keys.body_part, rid)
        file = envelope.file and self._joined(envelope.file, keys.file_part, rid)
        return codec.decode_request(body or envelope.request or {}), file

    def _joined(self, ref: BodyRef, key_of: Any, request_id: str) -> bytes:
        return join_body(
            ref, [self._redis.run("GET", key_of(request_id, n)) for n in range(ref.parts)]
        )


_STATUS: Final = {
    EventKind.DONE: "finished",
    EventKind.FAILED: "failed",
    EventKind.CANCELLED: "canceled",
}


def resolve_fake(kind: CallKind) -> Any:
    """Return the FakeKind of a kind, by `fake_ref`."""
    return resolve(kind.fake_ref)


def _kind_of(name: str) -> CallKind:
    kind = find_kind(name)
    if kind is None:
        raise NotServedError(kind=name, known=", ".join(call_kinds()))
    return kind
