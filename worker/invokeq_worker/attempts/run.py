"""One attempt of one invocation, from the claimed job to the terminal event.

A run emits `started`, then the provider's outputs, then exactly one terminal event, and has RQ's
job records finalized in the same batch. A run fenced by a later attempt emits no more events and
finalizes no job.
"""

import asyncio
import time
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import structlog

from invokeq.protocol import codec, events
from invokeq.protocol.errors import (
    InternalError,
    InvokeqError,
    ProviderSilenceError,
    StreamFullError,
)
from invokeq.protocol.events import EventKind
from invokeq.protocol.redis import keys
from invokeq.protocol.requests import CallRequest, Envelope
from invokeq.protocol.usage import Usage
from invokeq_providers.calls import Services
from invokeq_providers.registry import find_provider
from invokeq_worker.attempts.context import RunContext
from invokeq_worker.attempts.decoding import decode_request
from invokeq_worker.attempts.event_mapping import emit_output
from invokeq_worker.attempts.finalize import Ending
from invokeq_worker.config.identity import decide_identity
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.event_stream import EventWriter
from invokeq_worker.vendor.fallbacks import serve_with_fallbacks
from invokeq_worker.vendor.retrying import RetryingProvider
from invokeq_worker.vendor.vendor_calls import FailedCall, VendorCalls

log: Final = structlog.get_logger(__name__)


class Interruption(NamedTuple):
    """Why a run was stopped from outside."""

    kind: Literal["cancel", "requeue", "silence", "fenced"]
    reason: str = ""


class Run:
    """One attempt; `task` executes `execute()`, and `cancel()` stops the run from outside."""

    def __init__(self, job: Claimed, context: RunContext) -> None:
        self.job = job
        self.task: asyncio.Task[None] | None = None
        self.envelope: Envelope | None = None
        self.started_at: float = time.time()
        self.last_activity_at: float = self.started_at
        self._context = context
        self._begun = False
        self._is_waiting = False
        self._request: CallRequest | None = None
        self._interruption: Interruption | None = None
        self._ending = Ending.CANCELED
        self._usage: Usage | None = None
        self._calls: VendorCalls | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.stream: EventWriter = context.writer.open(
            job.id, job.attempt, fresh=job.ended, on_fenced=self._on_fenced
        )

    def cancel(self, reason: str, ending: Ending = Ending.CANCELED) -> None:
        """Stop the run: close the provider's connection, then emit `cancelled`."""
        if self._interrupt(Interruption("cancel", reason)):
            self._ending = ending

    def requeue(self) -> bool:
        """Stop the run and requeue the job; return False if the run has emitted output."""
        return not self.stream.events and self._interrupt(Interruption("requeue"))

    def check_silence(self, now: float) -> None:
        """Stop the run when the provider has been silent for too long; called every second."""
        # A wait for the reader or for Redis is no silence of the provider.
        if not self._is_waiting and now - self.last_activity_at > self._context.provider_silence:
            self._interrupt(Interruption("silence"))

    def _interrupt(self, interruption: Interruption) -> bool:
        """Stop the task; return False if the run has ended or was interrupted before."""
        if self._interruption is not None or self.stream.ended:
            return False
        self._interruption = interruption
        # A task cancelled before its first step would never enter `execute()` and its `except`, so
        # a run that has not begun finds the interruption there instead.
        if self._begun and self.task is not None:
            self.task.cancel(interruption.kind)
        return True

    async def execute(self) -> None:
        """Run the attempt to the end; every failure of the invocation becomes an event."""
        self._begun = True
        try:
            if self._interruption is not None:
                raise asyncio.CancelledError(self._interruption.kind)
            self._emit_started()
            await self._answer()
        except asyncio.CancelledError:
            self._end_interrupted(self._interruption or Interruption("cancel", "shutdown"))
        except InvokeqError as error:
            self._context.finalizer.failed(self, error)
        except Exception as error:
            log.exception("invocation crashed", request_id=self.job.id)
            # The text may quote a prompt or a credential: it stays in the worker's log.
            detail = f"{type(error).__name__}; the worker's log has more"
            self._context.finalizer.failed(self, InternalError(detail=detail))
        else:
            usage = self._usage.model_dump(mode="json") if self._usage else None
            self._context.finalizer.done(self, usage)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            # Both refer back to the run: without them it needs no garbage collector.
            self._calls = None
            self.stream.release_run()

    async def _answer(self) -> None:
        """Decode the request, call the provider, and emit each output."""
        context = self._context
        envelope = self.envelope = codec.decode_job(self.job.data)
        if envelope.detached or self.job.ended:  # an ended job was requeued by an operator
            self.stream.detach()
        if envelope.request_id != self.job.id:
            raise InternalError(detail=f"job {self.job.id} carries request {envelope.request_id}")
        identity = decide_identity(keys.Lane.parse(self.job.lane), envelope, context.trusted)
        self._watch_deadline(envelope.deadline)
        request = self._request = await decode_request(await self._payload(envelope))
        calls = self._calls = VendorCalls(
            self.job.id, context.policy_of, envelope.deadline, self._emit_failed_call
        )
        services = Services(
            request_id=self.job.id,
            user=identity.user,
            provider=lambda name: RetryingProvider(find_provider(context.providers, name), calls),
            file=await context.bodies.fetch(self.job.id, keys.file_part, envelope.file)
            if envelope.file
            else None,
            summary_model=context.summary_model_of(identity.tenant),
            heartbeat=self._record_activity,
            ignored=context.ignored.note,
        )
        check = partial(context.permissions.check, identity)
        answer = serve_with_fallbacks(request, services, context.fallbacks, calls, check)
        writer, stream = context.writer, self.stream
        async with aclosing(answer) as outputs:
            async for output in outputs:
                self._record_activity()
                usage = emit_output(stream, output)
                if usage is not None:
                    self._usage = usage
                if writer.is_congested or stream.is_over_window:
                    await self._wait_for_capacity()

    async def _payload(self, envelope: Envelope) -> bytes | dict[str, Any]:
        """Return the request from the envelope, or fetch the body from beside the job."""
        if envelope.body is None:
            return envelope.request or {}
        return await self._context.bodies.fetch(self.job.id, keys.body_part, envelope.body)

    async def _wait_for_capacity(self) -> None:
        """Wait until Redis and the reader have taken enough: backpressure towards the vendor."""
        self._is_waiting = True
        try:
            await self._context.writer.wait_for_capacity()
            # The reader may detach during the wait, which turns the window into the other bound.
            while self.stream.is_over_window:
                if not self.stream.has_reader:
                    limit = self.stream.window.detached_bytes
                    raise StreamFullError(limit=limit, setting="limits.detached_bytes")
                await self._context.wait_for_reader(self)
        finally:
            self._is_waiting = False
            self.last_activity_at = time.time()

    def _record_activity(self) -> None:
        # Never back: a failed call sets the time ahead, to the end of the wait for the next one.
        self.last_activity_at = max(self.last_activity_at, time.time())

    def _emit_started(self) -> None:
        payload = events.started(self._context.worker, self.started_at)
        self.stream.event(EventKind.STARTED, payload)

    def _emit_failed_call(self, failed: FailedCall) -> None:
        """Emit `retry` for a failed vendor call; the pause before the next is no silence."""
        self.last_activity_at = max(self.last_activity_at, time.time() + failed.wait)
        payload = events.retry(
            failed.error.to_wire(), str(failed.model), failed.call, failed.wait, failed.next
        )
        self.stream.event(EventKind.RETRY, payload)

    def _watch_deadline(self, deadline: float | None) -> None:
        if deadline is None:
            return
        left = deadline - time.time()
        if left <= 0:
            self._interruption = self._interruption or Interruption("cancel", events.DEADLINE)
            raise asyncio.CancelledError(events.DEADLINE)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(left, self.cancel, events.DEADLINE)

    def _end_interrupted(self, interruption: Interruption) -> None:
        finalizer = self._context.finalizer
        match interruption:
            case Interruption("requeue"):
                finalizer.requeue(self.job)
            case Interruption("fenced"):
                finalizer.fenced(self.job)
            case Interruption("silence"):
                finalizer.failed(self, self._silence_error())
            case Interruption(reason=reason):
                stage = self._stage() if reason == events.DEADLINE else None
                finalizer.cancelled(self, reason, self._usage_so_far(), stage, self._ending)

    def _silence_error(self) -> InvokeqError:
        request = self._request
        return ProviderSilenceError(
            provider=getattr(request, "provider", None),
            model=getattr(request, "model", None),
            seconds=int(self._context.provider_silence),
        )

    def _usage_so_far(self) -> dict[str, Any] | None:
        """Return the reported usage, else the estimate of the vendor calls, as JSON."""
        if self._usage is not None:
            return self._usage.model_dump(mode="json")
        return None if self._calls is None else self._calls.usage_meter.usage()

    def _stage(self) -> str:
        """Return how far the run had come at the deadline."""
        asked = self._calls is not None and self._calls.made
        return "while the model answered" if asked else "before the model was asked"

    def _on_fenced(self) -> None:
        self._interrupt(Interruption("fenced"))
