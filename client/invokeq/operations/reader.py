"""Read one result stream, event by event, and notice when no more events can come.

Ordering: events come in order of ids, each once, from any id on. Loss: a gap is an EventsLostError.
A waiting reader renews the lease and checks every two seconds whether RQ's job records know the
invocation and whether the worker is alive. So waiting always ends: with an event, or with a typed
error. Memory is bounded: READ_COUNT entries as bytes, and the decoded events of GIVE_BYTES or of
one entry.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from invokeq.operations import control
from invokeq.operations.enqueue import SubmitResult
from invokeq.operations.job_fields import text_of
from invokeq.operations.lease import Lease
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.operations.plan import CommandList, Plan, Slot
from invokeq.protocol import events
from invokeq.protocol.errors import (
    EventsLostError,
    InvocationCancelledError,
    PickupTimeoutError,
    StreamExpiredError,
    WorkerLostError,
)
from invokeq.protocol.events import (
    ANSWERS,
    LAST_SEQUENCE,
    TERMINAL,
    Event,
    EventId,
    EventKind,
)
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Reply
from invokeq.transport.batch import Batch, StreamWait

TAKEN_GRACE: Final = 5.0
"""Seconds from claiming a request id to pushing the job; meanwhile the job may be missing."""

BLOCK_MS: Final = 2000
"""How long one read blocks; each read after a silent read carries a liveness check."""

READ_COUNT: Final = 32
"""Entries a read; workers pack up to 256 KB of chunks into one."""

GIVE_BYTES: Final = 64 * 1024
"""Bytes of entries decoded at once; decoded objects take ten times as much."""

LOST_AFTER: Final = 3.0
"""Seconds after the end of a worker's lease in which live workers requeue the jobs."""


class LivenessReplies(NamedTuple):
    """Redis's replies about an invocation with a silent stream.

    `job` holds the fields `status`, `worker_name` and `origin` of RQ's job record, `clock` is the
    server's time, `lease` the end of the worker's lease in server milliseconds, and `top` the
    newest entry of the stream.
    """

    job: list[bytes | None]
    clock: list[bytes]
    lease: bytes | None
    top: list[tuple[bytes, list[bytes]]]


class LivenessSlots(NamedTuple):
    """Where the replies to the liveness commands are."""

    job: Slot
    clock: Slot
    lease: Slot
    top: Slot

    def read(self, commands: CommandList, replies: list[Reply]) -> LivenessReplies:
        """Return the replies by name."""
        return LivenessReplies(*(commands.reply(slot, replies) for slot in self))


@dataclass(slots=True)
class ReaderState:
    """What a reader knows of its invocation; `last` is the id after which the next read starts.

    `left` is set, also by another thread, when the caller has left the invocation.
    """

    last: EventId
    worker: str | None = None
    answers: int = 0
    started: bool = False
    ended: bool = False
    left: bool = False


class Reader:
    """Reads the stream of one request id; for one consumer at a time."""

    def __init__(
        self,
        request_id: str,
        lane: str | None,
        *,
        after: EventId,
        pickup_timeout: float,
        orphan_timeout: float,
        retry_for_seconds: float,
        holds_lease: bool,
        known: bool,
        grace: float = 0.0,
    ) -> None:
        self.request_id = request_id
        self.state: ReaderState = ReaderState(after, started=after.attempt > 0)
        self._lane = lane
        self._pickup_timeout = pickup_timeout
        self._retry_for_seconds = retry_for_seconds
        self._lease = Lease(request_id, orphan_timeout, held=holds_lease, first=known)
        self._stream = keys.events(request_id)
        self._fetched: deque[tuple[bytes, list[bytes]]] = deque()
        self._given_bytes = 0
        self._is_owner = known
        self._waiting_since = time.monotonic()
        # An attached reader checks at once: its stream may have ended, or may never have existed.
        self._idle = not known
        self._connected = known
        self._block_ms = BLOCK_MS if known else 1
        self._expected_until = time.monotonic() + grace
        self._lost_since: float | None = None

    def let_go(self) -> None:
        """Stop renewing the lease."""
        self._lease.let_go()

    def taken(self, event: Event) -> bool:
        """Record an event as handled; return whether to `renew()` before the next event."""
        self._lease.took(event.id)
        return self._lease.is_due

    @property
    def given_bytes(self) -> int:
        """Bytes of the events that `next_events` returned last."""
        return self._given_bytes

    @property
    def is_lease_due(self) -> bool:
        """Whether the lease must be renewed soon; never for a reader without a lease."""
        return self._lease.is_due

    @property
    def lease_seconds(self) -> float:
        """Seconds that the lease lives without a renewal."""
        return self._lease.seconds

    def renew(self) -> Plan[None]:
        """Renew the lease for a caller that is busy with events read before. One round trip."""
        return self._renew(self._retry_for_seconds)

    def renew_unread(self) -> Plan[None]:
        """Renew the lease for a caller that is not reading: the position stays. One round trip."""
        return self._renew(0.0)

    def missed_renewal(self) -> None:
        """Note that a renewal did not reach Redis: the lease is due again."""
        self._lease.missed_renewal()

    def _renew(self, retry_for_seconds: float) -> Plan[None]:
        commands = CommandList()
        before = commands.add(*self._lease.renewal())
        replies = yield Batch(commands, retry_for_seconds)
        yield from self._restore_order(commands.reply(before, replies))

    def next_events(self) -> Plan[list[Event]]:
        """Wait for the next events. One round trip; none while fetched entries are left.

        Returns at least one event, or none if the stream turns out to have ended with the last
        event read, or if the caller has left meanwhile.
        """
        self._lease.took_bytes(self._given_bytes)
        self._given_bytes = 0
        if self._fetched:
            if self._lease.has_much_news:
                yield from self.renew()
            return self._give()
        while not self.state.left:
            commands = CommandList()
            renewal = self._lease.for_read(quiet=self._idle)
            before = commands.add(*renewal) if renewal else None
            liveness = self._liveness_commands(commands) if self._idle else None
            # The first read of an attached reader fails at once where Redis is away: there is
            # nothing yet that a reconnect could save.
            retry_for_seconds = self._retry_for_seconds if self._connected else 0.0
            batch = Batch(commands, retry_for_seconds, self._wait())
            replies = yield batch
            self._connected = True
            if before is not None:
                yield from self._restore_order(commands.reply(before, replies))
            self._fetch(batch.wait_reply(replies))
            self._block_ms = BLOCK_MS
            if self._fetched:
                self._idle = False
                return self._give()
            if liveness is not None:
                self._check_liveness(liveness.read(commands, replies))
                if self.state.ended:
                    return []
                yield from self._bound_pickup()
            self._idle = True
        return []  # another thread or task has left while this one waited

    def _restore_order(self, before: Reply) -> Plan[None]:
        """Write back an order to cancel or detach, overwritten by the renewal of the lease."""
        commands = self._lease.heard(before)
        if commands:
            yield Batch(commands, self._retry_for_seconds)

    def _liveness_commands(self, commands: CommandList) -> LivenessSlots:
        """Ask for RQ's job record, the worker's lease and the newest entry.

        The commands go in front of the blocking read, in the same batch. So the reply to the read
        is newer, and includes a terminal event written in between.
        """
        return LivenessSlots(
            job=commands.add("HMGET", keys.job(self.request_id), "status", "worker_name", "origin"),
            clock=commands.add("TIME"),
            lease=commands.add("ZSCORE", keys.LEASES, self.state.worker or "?"),
            top=commands.add("XREVRANGE", self._stream, "+", "-", "COUNT", 1),
        )

    def _wait(self) -> StreamWait:
        # A read may not block past the renewal of the lease, or the invocation would be cancelled.
        block_ms = min(self._block_ms, self._lease.longest_wait_ms)
        return StreamWait(self._stream, str(self.state.last), READ_COUNT, block_ms)

    def _fetch(self, reply: Reply) -> None:
        if reply:
            self._fetched.extend(reply[0][1])

    def _give(self) -> list[Event]:
        """Decode the next of the fetched entries, up to GIVE_BYTES."""
        found: list[Event] = []
        while self._fetched and self._given_bytes < GIVE_BYTES:
            entry_id, flat = self._fetched.popleft()
            self._given_bytes += sum(map(len, flat))
            for event in events.unpack(entry_id, events.fields_of(flat)):
                # An entry has the id of its last event, so a reader that starts in the middle of
                # an entry gets the whole entry and skips the events it has.
                if event.id > self.state.last:
                    self._check_order(event)
                    self._note(event)
                    found.append(event)
        return found

    def _check_order(self, event: Event) -> None:
        """Raise EventsLostError at a gap: within an attempt sequences count up by 1, from 0."""
        last, now = self.state.last, event.id
        expected = last.sequence + 1 if now.attempt == last.attempt else 0
        # LAST_SEQUENCE is the `lost` event that fences the attempt of a dead worker.
        if now.sequence not in (expected, LAST_SEQUENCE):
            if not self._is_owner:  # the first submitter may be reading: do not cancel
                self.let_go()
                self.state.ended = True
            raise EventsLostError(
                stream=self.request_id,
                request_id=self.request_id,
                after=str(last),
                before=str(now),
            )

    def _note(self, event: Event) -> None:
        state = self.state
        state.last = event.id
        if event.kind in ANSWERS:
            state.answers += 1
        elif event.kind in TERMINAL:
            state.ended = True
        elif event.kind is EventKind.STARTED:
            state.started = True
            state.worker = str(event.data.get("worker"))
        elif event.kind is EventKind.LOST:  # requeued: the wait for a worker begins again
            state.started = False
            self._waiting_since = time.monotonic()

    def _check_liveness(self, found: LivenessReplies) -> None:
        """Decide whether more events can come; raise the error if none can."""
        status, worker, origin = map(text_of, found.job)
        self._lane = self._lane or origin or None
        if status == "started":
            self._check_worker(worker, found)
        elif not status and time.monotonic() < self._expected_until:
            return  # another caller has claimed the request id and is about to push the job
        elif status != "queued":
            # Workers write the terminal event before they finalize the job record. So the event
            # has been read by now, or it is gone.
            if not found.top or EventId.parse(found.top[0][0]) != self.state.last:
                self._raise_gone(status)
            self.state.ended = True

    def _raise_gone(self, status: str) -> None:
        if status in ("canceled", "stopped"):
            raise InvocationCancelledError(request_id=self.request_id, reason="operator")
        raise StreamExpiredError(stream=self.request_id, request_id=self.request_id)

    def _check_worker(self, worker: str, found: LivenessReplies) -> None:
        """Raise WorkerLostError if the worker is dead and no live worker has requeued the job."""
        if self.state.worker != worker:
            # The lease in these replies is that of the worker before: wait for the next check.
            self.state.worker = worker
            return
        if found.lease is not None and float(found.lease) > int(found.clock[0]) * 1000:
            self._lost_since = None
            return
        # Live workers reap within LOST_AFTER. Only if there are none, the reader must end the wait.
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since > LOST_AFTER:
            raise WorkerLostError(
                request_id=self.request_id,
                attempt=self.state.last.attempt,
                worker=worker,
                events=self.state.answers,
            )

    def _bound_pickup(self) -> Plan[None]:
        """Raise PickupTimeoutError, and cancel, if no worker has claimed the job in time."""
        waited = time.monotonic() - self._waiting_since
        if self.state.started or waited < self._pickup_timeout:
            return
        if self._lease.held:
            yield from control.cancel(self.request_id)
        raise PickupTimeoutError(
            request_id=self.request_id,
            seconds=int(self._pickup_timeout),
            queue=self._lane,
            problem="all workers of the queue are busy, suspended or gone",
        )


def submitted_reader(session: SessionOptions, submitted: SubmitResult, call: CallOptions) -> Reader:
    """Return the reader of a submitted invocation; the lease keeps the invocation alive."""
    return Reader(
        submitted.request_id,
        submitted.lane,
        after=events.START,
        pickup_timeout=session.pickup_timeout,
        orphan_timeout=session.orphan_timeout,
        retry_for_seconds=session.retry_for_seconds,
        holds_lease=not call.detached,
        known=submitted.fresh,
        grace=TAKEN_GRACE,
    )


def attached_reader(session: SessionOptions, request_id: str, after: str | None) -> Reader:
    """Return a reader without a lease, so without influence on the life of the invocation."""
    return Reader(
        keys.check_request_id(request_id),
        None,
        after=EventId.parse(after) if after is not None else events.START,
        pickup_timeout=session.pickup_timeout,
        orphan_timeout=session.orphan_timeout,
        retry_for_seconds=session.retry_for_seconds,
        holds_lease=False,
        known=False,
    )
