"""One attempt of one invocation, from the claimed job to the terminal event.

A run says `started`, then what the provider yields, then exactly one terminal event, and hands over
the closing of RQ's books in the same batch. A run that has been shut out by a later attempt says
nothing more and closes nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import structlog
from redis.exceptions import ResponseError

from invokeq.protocol import codec, events
from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.errors import (
    InternalError,
    InvokeqError,
    ProviderSilenceError,
    StreamFullError,
)
from invokeq.protocol.events import EventKind
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.protocol.requests import BodyRef, Envelope, Request
from invokeq.protocol.usage import Usage
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_providers.base import Provider
from invokeq_providers.calls import (
    Output,
    Result,
    Scores,
    Segment,
    Services,
    UsageReport,
    Vectors,
)
from invokeq_providers.chunks import TextChunk
from invokeq_providers.registry import find_provider
from invokeq_worker.config.identity import decide_identity
from invokeq_worker.config.permissions import Permissions
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.config.values import Fallbacks, ModelRef, Retention
from invokeq_worker.engine import job_records
from invokeq_worker.engine.decoding import decode_request, join_body
from invokeq_worker.engine.job_records import Ending
from invokeq_worker.engine.vectors import vectors_payload
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.event_stream import EventWriter
from invokeq_worker.streams.writer import Writer
from invokeq_worker.vendor.fallbacks import serve_with_fallbacks
from invokeq_worker.vendor.ignored import IgnoredParameters
from invokeq_worker.vendor.retrying import RetryingProvider
from invokeq_worker.vendor.vendor_calls import FailedCall, VendorCalls

BODY_TIMEOUT: Final = 30.0
"""Seconds to fetch a request body that travels beside its job."""

log: Final = structlog.get_logger(__name__)


class Interruption(NamedTuple):
    """Why a run was stopped from outside: cancel, hand back, silence or shut out."""

    kind: Literal["cancel", "hand back", "silence", "shut out"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all runs of a worker share."""

    worker: str
    providers: Mapping[str, Provider]
    writer: Writer
    bodies: RedisConnection
    bodies_lock: asyncio.Lock
    reader_room: Callable[["Run"], Awaitable[None]]
    retention: Retention
    provider_silence: float
    trusted: Collection[str]
    permissions: Permissions
    on_closed: Callable[[Claimed], None]
    summary_model_of: Callable[[str | None], str | None]
    ignored: IgnoredParameters = field(default_factory=IgnoredParameters)
    policy_of: Callable[[str], RetryPolicy] = lambda _: RetryPolicy()
    fallbacks: Fallbacks = field(default_factory=dict[ModelRef, list[ModelRef]])


class Run:
    """One attempt; `task` is what executes it, `cancel()` the only way to stop it from outside."""

    def __init__(self, job: Claimed, context: RunContext) -> None:
        self.job = job
        self.task: asyncio.Task[None] | None = None
        self.envelope: Envelope | None = None
        self.started_at: float = time.time()
        self.last_activity_at: float = self.started_at
        self._context = context
        self._begun = False
        self._held = False
        self._request: Request | None = None
        self._interruption: Interruption | None = None
        self._ending = Ending.CANCELED
        self._usage: Usage | None = None
        self._calls: VendorCalls | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.stream: EventWriter = context.writer.open(
            job.id, job.attempt, fresh=job.ended, on_fenced=self._shut_out
        )

    def cancel(self, reason: str, ending: Ending = Ending.CANCELED) -> None:
        """Stop the run: the provider's connection is closed, then `cancelled` is written."""
        if self._interrupt(Interruption("cancel", reason)):
            self._ending = ending

    def hand_back(self) -> bool:
        """Stop the run and put its job back, unless it has begun to speak; tells whether it did."""
        return not self.stream.events and self._interrupt(Interruption("hand back"))

    def check_silence(self, now: float) -> None:
        """Stop the run when the provider has been silent for too long; called every second."""
        if not self._held and now - self.last_activity_at > self._context.provider_silence:
            self._interrupt(Interruption("silence"))

    def _interrupt(self, interruption: Interruption) -> bool:
        """Stop the task for the first reason that is given; a task that has not begun finds it
        there."""
        if self._interruption is not None or self.stream.ended:
            return False
        self._interruption = interruption
        if self._begun and self.task is not None:
            self.task.cancel(interruption.kind)
        return True

    async def execute(self) -> None:
        """Run the attempt to its end; raises nothing but what is a fault of this very function."""
        self._begun = True
        try:
            if self._interruption is not None:
                raise asyncio.CancelledError(self._interruption.kind)
            self._say_started()
            await self._answer()
        except asyncio.CancelledError:
            self._end_interrupted(self._interruption or Interruption("cancel", "shutdown"))
        except InvokeqError as error:
            self._fail(error)
        except Exception as error:
            log.exception("invocation broke", request_id=self.job.id)
            # Its text may quote a prompt or a credential: it stays in the worker's log.
            self._fail(InternalError(detail=f"{type(error).__name__}; the worker's log has more"))
        else:
            usage = self._usage.model_dump(mode="json") if self._usage else None
            self._end(EventKind.DONE, events.done(usage), Ending.FINISHED)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            self._calls = None
            self.stream.leave()

    async def _answer(self) -> None:
        envelope = self.envelope = codec.decode_job(self.job.data)
        if envelope.detached or self.job.ended:  # queued again by an operator: nobody reads it
            self.stream.unattend()
        if envelope.request_id != self.job.id:
            raise InternalError(detail=f"job {self.job.id} carries request {envelope.request_id}")
        identity = decide_identity(keys.Lane.parse(self.job.lane), envelope, self._context.trusted)
        self._watch_deadline(envelope.deadline)
        request = self._request = await decode_request(await self._payload(envelope))
        check = partial(self._context.permissions.check, identity)
        calls = self._calls = VendorCalls(
            self.job.id, self._context.policy_of, envelope.deadline, self._say_failed
        )
        services = Services(
            request_id=self.job.id,
            user=identity.user,
            provider=lambda name: RetryingProvider(
                find_provider(self._context.providers, name), calls
            ),
            file=await self._fetch(keys.file_part, envelope.file) if envelope.file else None,
            summary_model=self._context.summary_model_of(identity.tenant),
            heard=self._heard,
            ignored=self._context.ignored.note,
        )
        writer = self._context.writer
        turns = serve_with_fallbacks(request, services, self._context.fallbacks, calls, check)
        async with aclosing(turns) as pieces:
            async for piece in pieces:
                self._heard()
                self._say(piece)
                if writer.congested or self.stream.full:
                    await self._room()

    async def _room(self) -> None:
        """Wait until Redis and the reader have taken enough; none of it is the provider's
        silence."""
        self._held = True
        try:
            await self._context.writer.room()
            while self.stream.full:
                if not self.stream.has_reader:
                    limit = self.stream.window.detached_bytes
                    raise StreamFullError(limit=limit, setting="limits.detached_bytes")
                await self._context.reader_room(self)
        finally:
            self._held = False
            self.last_activity_at = time.time()

    def _heard(self) -> None:
        self.last_activity_at = max(self.last_activity_at, time.time())

    def _say_failed(self, failed: FailedCall) -> None:
        """Tell of a vendor call that failed; nobody can be silent before the next one is made."""
        self.last_activity_at = max(self.last_activity_at, time.time() + failed.wait)
        payload = events.retry(
            failed.error.to_wire(), str(failed.model), failed.call, failed.wait, failed.next
        )
        self.stream.event(EventKind.RETRY, payload)

    def _say(self, piece: Output) -> None:
        match piece:
            case TextChunk():
                self.stream.chunk(piece.json())
            case LLMResultChunk():
                if piece.delta.usage is not None:
                    self._usage = piece.delta.usage
                self.stream.chunk(piece.model_dump_json(exclude_defaults=True).encode())
            case Segment():
                self.stream.event(EventKind.SEGMENT, events.segment(piece.mime_type), piece.audio)
            case Vectors():
                self.stream.event(EventKind.VECTORS, *vectors_payload(piece))
            case Scores():
                self.stream.event(EventKind.SCORES, events.scores(piece.start, piece.ranked))
            case UsageReport():
                self._usage = piece.usage
            case Result():
                self._usage = piece.usage
                self.stream.event(EventKind.RESULT, events.result(dict(piece.value)))

    async def _payload(self, envelope: Envelope) -> bytes | dict[str, Any]:
        """Give the request as it lies in the envelope, or fetch it from beside the job."""
        if envelope.body is None:
            return envelope.request or {}
        return await self._fetch(keys.body_part, envelope.body)

    async def _fetch(self, part: Callable[[str, int], str], ref: BodyRef) -> bytes:
        """Fetch what travels beside the job. One round trip."""
        fetch: list[Command] = [("GET", part(self.job.id, n)) for n in range(ref.parts)]
        try:
            async with self._context.bodies_lock:
                parts = await self._context.bodies.exchange(fetch, BODY_TIMEOUT)
        except RedisConnectionLostError as error:
            raise InternalError(detail=f"the request body could not be fetched: {error}") from None
        return await join_body(ref, parts)

    def _watch_deadline(self, deadline: float | None) -> None:
        if deadline is None:
            return
        left = deadline - time.time()
        if left <= 0:
            self._interruption = self._interruption or Interruption("cancel", events.DEADLINE)
            raise asyncio.CancelledError(events.DEADLINE)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(left, self.cancel, events.DEADLINE)

    def _say_started(self) -> None:
        payload = events.started(self._context.worker, self.started_at)
        self.stream.event(EventKind.STARTED, payload)

    def _fail(self, error: InvokeqError) -> None:
        error.request_id = self.job.id
        error.attempt = self.job.attempt
        log.info("invocation failed", request_id=self.job.id, code=error.code)
        payload = events.failed(error.to_wire())
        self._end(EventKind.FAILED, payload, Ending.FAILED, f"{type(error).__name__}: {error}")

    def _end_interrupted(self, interruption: Interruption) -> None:
        match interruption:
            case Interruption("hand back"):
                self._requeue()
            case Interruption("shut out"):
                self._context.on_closed(self.job)
                log.info("invocation was taken over", request_id=self.job.id)
            case Interruption("silence"):
                self._fail(self._silence_error())
            case Interruption(reason=reason):
                self._end_cancelled(reason)

    def _silence_error(self) -> InvokeqError:
        request = self._request
        return ProviderSilenceError(
            provider=getattr(request, "provider", None),
            model=getattr(request, "model", None),
            seconds=int(self._context.provider_silence),
        )

    def _end_cancelled(self, reason: str) -> None:
        usage = self._usage.model_dump(mode="json") if self._usage else None
        if usage is None and self._calls is not None:
            usage = self._calls.usage_meter.usage()
        log.info("invocation cancelled", request_id=self.job.id, reason=reason)
        text = "Job stopped by user" if self._ending is Ending.STOPPED else ""
        stage = self._stage() if reason == events.DEADLINE else None
        self._end(EventKind.CANCELLED, events.cancelled(reason, usage, stage), self._ending, text)

    def _stage(self) -> str:
        """Say how far the run had come when its deadline passed."""
        asked = self._calls is not None and self._calls.made
        return "while the model answered" if asked else "before the model was asked"

    def _end(self, kind: EventKind, payload: bytes, ending: Ending, exception: str = "") -> None:
        """Write the terminal event, let the stream expire, close the books: one batch."""
        retention = self._context.retention
        self.stream.ttl = retention.result_ttl
        self.stream.event(kind, payload)
        closing = job_records.close(
            self.job,
            ending,
            started=self.started_at,
            ended=time.time(),
            retention=retention,
            exception=exception,
        )
        self._context.writer.close_books(closing, self._closed)

    def _requeue(self) -> None:
        ttl = self._context.retention.queue_ttl
        job = self.job
        self._context.writer.command(
            scripts.requeue(self._context.worker, job.lane, job.id, job.execution, ttl),
            self._closed,
        )
        log.info("invocation handed back", request_id=job.id)

    def _closed(self, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            log.error("books were not closed", request_id=self.job.id, problem=str(reply))
        self._context.on_closed(self.job)

    def _shut_out(self) -> None:
        self._interrupt(Interruption("shut out"))
