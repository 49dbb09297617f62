"""Finalize attempts: the terminal event, the stream's TTL, and RQ's job records, in one batch.

RQ's tools read the records: status, registry and result of a job.
"""

import base64
import time
import zlib
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol

import structlog
from redis.exceptions import ResponseError
from rq.results import Result

from invokeq.protocol import events
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.events import EventKind
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.redis.rq_time import iso
from invokeq_worker.config.values import Retention
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed, Closing
from invokeq_worker.streams.event_stream import EventWriter
from invokeq_worker.streams.writer import Writer

log: Final = structlog.get_logger(__name__)


class Ending(Enum):
    """The ways in which an execution ends: RQ's registry, job status and result type."""

    FINISHED = ("finished", "finished", str(Result.Type.SUCCESSFUL.value))
    FAILED = ("failed", "failed", str(Result.Type.FAILED.value))
    STOPPED = ("failed", "stopped", str(Result.Type.FAILED.value))
    CANCELED = ("canceled", "canceled", "")

    @property
    def registry(self) -> str:
        return self.value[0]

    @property
    def status(self) -> str:
        return self.value[1]

    @property
    def result_type(self) -> str:
        return self.value[2]


_SUCCESSFUL: Final = frozenset({Ending.FINISHED, Ending.CANCELED})


def build_closing(
    job: Claimed,
    ending: Ending,
    *,
    started: float,
    ended: float,
    retention: Retention,
    exception: str = "",
) -> Closing:
    """Return the RQ job records of an ended execution; times in seconds since the epoch."""
    packed = zlib.compress(exception.encode()) if exception else b""
    return Closing(
        lane=job.lane,
        id=job.id,
        execution=job.execution,
        registry=ending.registry,
        status=ending.status,
        result_type=ending.result_type,
        started=started,
        ended=ended,
        ended_iso=iso(ended),
        ttl=retention.result_ttl if ending in _SUCCESSFUL else retention.failure_ttl,
        exception=packed,
        exception_b64=base64.b64encode(packed),
    )


class Attempt(Protocol):
    """The part of a run for readers and finalizers; `started_at` in seconds since the epoch."""

    job: Claimed
    stream: EventWriter
    started_at: float

    def cancel(self, reason: str) -> None:
        """Stop the attempt."""


class Finalizer:
    """Finalizes the attempts of one worker.

    `on_finalized` is called with the job once Redis has confirmed the records, or once there is
    none to write.
    """

    def __init__(
        self,
        worker: str,
        writer: Writer,
        retention: Retention,
        on_finalized: Callable[[Claimed], None],
    ) -> None:
        self._worker = worker
        self._writer = writer
        self._retention = retention
        self._on_finalized = on_finalized

    def done(self, attempt: Attempt, usage: dict[str, Any] | None) -> None:
        """End an attempt with a complete answer."""
        self._finalize(attempt, EventKind.DONE, events.done(usage), Ending.FINISHED)

    def failed(self, attempt: Attempt, error: InvokeqError) -> None:
        """End an attempt with an error, which is given the request id and the attempt number."""
        error.request_id = attempt.job.id
        error.attempt = attempt.job.attempt
        log.info("invocation failed", request_id=attempt.job.id, code=error.code)
        payload = events.failed(error.to_wire())
        exception = f"{type(error).__name__}: {error}"
        self._finalize(attempt, EventKind.FAILED, payload, Ending.FAILED, exception)

    def cancelled(
        self,
        attempt: Attempt,
        reason: str,
        usage: dict[str, Any] | None,
        stage: str | None,
        ending: Ending,
    ) -> None:
        """End a stopped attempt; `stage` says how far one with a deadline had come."""
        log.info("invocation cancelled", request_id=attempt.job.id, reason=reason)
        text = "Job stopped by user" if ending is Ending.STOPPED else ""
        payload = events.cancelled(reason, usage, stage)
        self._finalize(attempt, EventKind.CANCELLED, payload, ending, text)

    def requeue(self, job: Claimed) -> None:
        """Put a job without output back at the head of the lane."""
        self._writer.command(
            scripts.requeue(
                self._worker,
                lane=job.lane,
                request_id=job.id,
                execution=job.execution,
                ttl=self._retention.queue_ttl,
            ),
            partial(self._confirm, job),
        )
        log.info("invocation requeued", request_id=job.id)

    def fenced(self, job: Claimed) -> None:
        """Leave a fenced attempt to the other worker: write neither events nor records."""
        self._on_finalized(job)
        log.info("attempt fenced", request_id=job.id, attempt=job.attempt)

    def _finalize(
        self,
        attempt: Attempt,
        kind: EventKind,
        payload: bytes,
        ending: Ending,
        exception: str = "",
    ) -> None:
        attempt.stream.ttl = self._retention.result_ttl
        attempt.stream.event(kind, payload)
        closing = build_closing(
            attempt.job,
            ending,
            started=attempt.started_at,
            ended=time.time(),
            retention=self._retention,
            exception=exception,
        )
        # The callback must not hold the run, which would then live until the reply.
        self._writer.finalize_job(closing, partial(self._confirm, attempt.job))

    def _confirm(self, job: Claimed, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            log.error("rq finalize failed", request_id=job.id, problem=str(reply))
        self._on_finalized(job)
