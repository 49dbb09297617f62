"""Reads one result stream, event by event, and notices when no more will come.

Every event once, in order, from any id on. While it waits it renews the reader's lease and looks,
every couple of seconds, at whether the invocation is still in RQ's books and its worker alive; so
waiting always ends: with an event, or with a typed error. What it holds is bounded: READ_COUNT
entries as they are, and the events of GIVE_BYTES or one entry.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from invokeq.operations import control
from invokeq.operations.enqueue import SubmitResult
from invokeq.operations.lease import Lease
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.operations.plan import Batch, Plan, StreamWait
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
from invokeq.protocol.redis.resp import Command, Reply

TAKEN_GRACE: Final = 5.0
"""Seconds for whoever has taken a request id to get its job into the lane."""

BLOCK_MS: Final = 2000
"""How long one read waits; a look at the books goes with each read after a silent one."""

READ_COUNT: Final = 32
"""Entries a read; workers pack up to 256 KB of chunks into one."""

GIVE_BYTES: Final = 64 * 1024
"""Bytes of entries that are decoded at once; as objects they take ten times as much."""

LOST_AFTER: Final = 3.0
"""Seconds after its lease, itself five, in which live workers take over from one that is lost."""


@dataclass(slots=True)
class ReaderState:
    """What a reader knows; `last` is where reading goes on."""

    last: EventId
    worker: str | None = None
    answers: int = 0
    started: bool = False
    ended: bool = False


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
        self.state = ReaderState(after, started=after.attempt > 0)
        self._lane = lane
        self._pickup_timeout = pickup_timeout
        self._retry_for_seconds = retry_for_seconds
        self._lease = Lease(request_id, orphan_timeout, held=holds_lease, first=known)
        self._stream = keys.events(request_id)
        self._fetched: deque[tuple[bytes, list[bytes]]] = deque()
        self._given_bytes = 0
        self._alone = known
        self._waiting_since = time.monotonic()
        self._quiet = not known
        self._connected = known
        self._block_ms = BLOCK_MS if known else 1
        self._expected_until = time.monotonic() + grace
        self._lost_since: float | None = None

    def let_go(self) -> None:
        """Renew the lease no longer."""
        self._lease.let_go()

    def taken(self, event: Event) -> bool:
        """Note that the caller is done with an event; tells whether to `renew()` before the
        next."""
        self._lease.took(event.id)
        return self._lease.is_due

    def renew(self) -> Plan[None]:
        """Renew the lease for a caller that is busy with what was read before. One round trip."""
        (before,) = yield Batch(self._lease.renewal(), self._retry_for_seconds)
        yield from self._put_right(before)

    def next_events(self) -> Plan[list[Event]]:
        """Wait for the next events. One round trip for what is there already, none while some is
        left of that.

        Gives at least one event, or none if the stream turns out to have ended with the last one
        read.
        """
        self._lease.took_bytes(self._given_bytes)
        self._given_bytes = 0
        if self._fetched:
            if self._lease.has_much_news:
                yield from self.renew()
            return self._give()
        while True:
            looks = self._quiet
            retry_for_seconds = self._retry_for_seconds if self._connected else 0.0
            news = self._lease.for_read(quiet=looks)
            replies = yield Batch([*news, *self._looks()], retry_for_seconds, self._wait())
            self._connected = True
            if news:
                yield from self._put_right(replies[0])
            self._fetch(replies[-1])
            self._block_ms = BLOCK_MS
            if self._fetched:
                self._quiet = False
                return self._give()
            if looks:
                self._judge(*replies[-5:-1])
                if self.state.ended:
                    return []
                yield from self._bound_pickup()
            self._quiet = True

    def _put_right(self, before: Reply) -> Plan[None]:
        commands = self._lease.heard(before)
        if commands:
            yield Batch(commands, self._retry_for_seconds)

    def _looks(self) -> list[Command]:
        """After a silent read: what RQ's books and the worker's lease say."""
        if not self._quiet:
            return []
        return [
            ("HMGET", keys.job(self.request_id), "status", "worker_name", "origin"),
            ("TIME",),
            ("ZSCORE", keys.LEASES, self.state.worker or "?"),
            ("XREVRANGE", self._stream, "+", "-", "COUNT", 1),
        ]

    def _wait(self) -> StreamWait:
        block_ms = min(self._block_ms, self._lease.longest_wait_ms)
        return StreamWait(self._stream, str(self.state.last), READ_COUNT, block_ms)

    def _fetch(self, reply: Reply) -> None:
        if reply:
            self._fetched.extend(reply[0][1])

    def _give(self) -> list[Event]:
        """Decode the next entries of those that were fetched."""
        found: list[Event] = []
        while self._fetched and self._given_bytes < GIVE_BYTES:
            entry_id, flat = self._fetched.popleft()
            self._given_bytes += sum(map(len, flat))
            for event in events.unpack(entry_id, events.fields_of(flat)):
                if event.id > self.state.last:
                    self._check_order(event)
                    self._note(event)
                    found.append(event)
        return found

    def _check_order(self, event: Event) -> None:
        """A stream has no gaps: within an attempt one sequence follows the other, from 0."""
        last, now = self.state.last, event.id
        expected = last.sequence + 1 if now.attempt == last.attempt else 0
        if now.sequence not in (expected, LAST_SEQUENCE):
            if not self._alone:  # whoever submitted it first may be reading: do not cancel
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
        elif event.kind is EventKind.LOST:
            state.started = False
            self._waiting_since = time.monotonic()

    def _judge(
        self, job: list[Any], clock: list[bytes], lease: bytes | None, top: list[Any]
    ) -> None:
        """Nothing came: find out whether anything can still come."""
        status, worker, origin = (value.decode() if value else "" for value in job)
        self._lane = self._lane or origin or None
        if status == "started":
            self._judge_worker(worker, clock, lease)
        elif not status and time.monotonic() < self._expected_until:
            return
        elif status != "queued":
            # The terminal event was written before the books were closed: read by now, or gone.
            if not top or EventId.parse(top[0][0]) != self.state.last:
                self._raise_gone(status)
            self.state.ended = True

    def _raise_gone(self, status: str) -> None:
        if status in ("canceled", "stopped"):
            raise InvocationCancelledError(request_id=self.request_id, reason="operator")
        raise StreamExpiredError(stream=self.request_id, request_id=self.request_id)

    def _judge_worker(self, worker: str, clock: list[bytes], lease: bytes | None) -> None:
        """Live workers clean up after dead ones; if there are none, somebody must still say so."""
        if self.state.worker != worker:
            self.state.worker = worker  # its lease is looked up with the next read
            return
        if lease is not None and float(lease) > int(clock[0]) * 1000:
            self._lost_since = None
            return
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
    """Read what this caller has just submitted: the reader whose lease keeps it alive."""
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
    """Read what somebody submitted, without a say in whether it lives."""
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
