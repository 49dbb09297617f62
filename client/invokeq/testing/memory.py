"""Invocations in memory: what Redis and a worker are to the real session, as a caller sees them.

An invocation advances when it is read: `queued` until the first event is asked for, then `running`
to its end. Without a reader it advances only if it is detached: then it runs to its end at once.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from invokeq.operations.call import Call
from invokeq.operations.control import InvocationStatus, State
from invokeq.operations.options import SessionOptions
from invokeq.operations.plan import Plan
from invokeq.operations.reader import Reader
from invokeq.operations.submit_many import note_withdrawn
from invokeq.protocol import events
from invokeq.protocol.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    DeadlineExceededError,
    InvalidConfigurationError,
    InvokeqError,
    ModelNotFoundError,
    NoWorkerError,
    ProviderNotFoundError,
    QueueFullError,
    RequestTooLargeError,
    StreamExpiredError,
)
from invokeq.protocol.events import Event, EventId, EventKind
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.requests import Request, new_request_id
from invokeq.protocol.usage import Usage
from invokeq.testing.script import Kind, Said, Script, attribute_of
from invokeq.transport.batch import Batch

NOWHERE: Final = "redis://nowhere.invalid"
"""The address of a fake session; nothing is ever sent there."""

WORKER: Final = "fake"
"""Name of the worker that all invocations in memory are run by."""

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
"""Errors that a real session raises before anything is enqueued."""


class Record:
    """One invocation: the events so far, and what the script has left to say."""

    def __init__(self, request_id: str, lane: str, answer: Iterator[Said]) -> None:
        self.request_id = request_id
        self.events: list[Event] = []
        self._lane = lane
        self._answer = answer
        self._state: State = "queued"
        self._enqueued = datetime.now(UTC)
        self._started: datetime | None = None
        self._ended: datetime | None = None
        self._usage: Usage | None = None

    @property
    def ended(self) -> bool:
        """Whether the terminal event is written."""
        return self._ended is not None

    def after(self, last: EventId) -> list[Event]:
        """Give the events after one; their sequence numbers are their places."""
        if last.attempt > ATTEMPT:
            return []
        return self.events[last.sequence + 1 if last.attempt == ATTEMPT else 0 :]

    def advance(self) -> None:
        """Write the next event."""
        if self._started is None:
            self._started = datetime.now(UTC)
            self._state = "running"
            self._write(EventKind.STARTED, events.started(WORKER, self._started.timestamp()))
            return
        item = next(self._answer, None)
        if item is None:
            self._end("done", EventKind.DONE, events.done(self._told_usage()))
        elif isinstance(item, DeadlineExceededError):
            usage = item.usage or self._told_usage()
            payload = events.cancelled(events.DEADLINE, usage, item.stage)
            self._end("cancelled", EventKind.CANCELLED, payload)
        elif isinstance(item, InvokeqError):
            self._end("failed", EventKind.FAILED, events.failed(item.to_wire()))
        else:
            self._usage = item.usage or self._usage
            self._write(item.kind, item.data, item.blob)

    def finish(self) -> None:
        """Run to the end."""
        while not self.ended:
            self.advance()

    def cancel(self) -> bool:
        """Stop it; false if it had ended already."""
        if self.ended:
            return False
        self._end("cancelled", EventKind.CANCELLED, events.cancelled("caller"))
        return True

    def status(self) -> InvocationStatus:
        """Say where it stands."""
        return InvocationStatus(
            request_id=self.request_id,
            state=self._state,
            lane=self._lane,
            attempt=0 if self._started is None else ATTEMPT,
            worker=None if self._started is None else WORKER,
            position=0 if self._state == "queued" else None,
            last_id=str(self.events[-1].id) if self.events else None,
            enqueued_at=self._enqueued,
            started_at=self._started,
            ended_at=self._ended,
        )

    def _told_usage(self) -> dict[str, Any] | None:
        return None if self._usage is None else self._usage.model_dump(mode="json")

    def _end(self, state: State, kind: EventKind, payload: bytes) -> None:
        self._write(kind, payload)
        self._state = state
        self._ended = datetime.now(UTC)

    def _write(self, kind: EventKind, payload: bytes, blob: bytes = b"") -> None:
        # Through JSON, as over the wire, so that callers never hold the script's own objects.
        event_id = EventId(ATTEMPT, len(self.events))
        self.events.append(Event(event_id, kind, orjson.loads(payload), blob))


class Memory:
    """What one fake session has been asked, and what became of it."""

    def __init__(self, options: SessionOptions) -> None:
        self.calls: list[Request] = []
        self.records: dict[str, Record] = {}
        self._options = options
        self._scripts: dict[str, Script[Any, Any]] = {}

    def script(self, kind: Kind[Any, Any]) -> Script[Any, Any]:
        """Give the script of a kind of call; sessions that share this share their scripts."""
        return self._scripts.setdefault(kind.attribute, Script(kind))

    def submit_many(self, calls: Iterable[Call[Any, Any]]) -> list[Record]:
        """Note calls, all or none: what has not ended yet when one is refused is forgotten."""
        records: list[Record] = []
        fresh: list[Record] = []
        try:
            for call in calls:
                known = len(self.records)
                records.append(self.submit(call))
                fresh += records[-1:] if len(self.records) > known else []
        except InvokeqError as error:
            waiting = [record for record in fresh if not record.ended]
            for record in waiting:
                del self.records[record.request_id]
            note_withdrawn(error, len(waiting))
            raise
        return records

    def submit(self, call: Call[Any, Any]) -> Record:
        """Note a call and begin to answer it; a request id that is known gives what it names."""
        request_id = call.options.request_id or new_request_id()
        if request_id in self.records:
            return self.records[request_id]
        request = call.request
        self.calls.append(request)
        script = self._scripts[attribute_of(request)]
        answer = script.answer(request, call.file, len(self.calls))
        if isinstance(answer, _AT_SUBMIT):
            raise answer
        lane = Lane(request.model_type.value, self._options.plugin_id)
        said: Iterator[Said] = iter([answer]) if isinstance(answer, InvokeqError) else answer
        record = Record(request_id, lane.name, said)
        self.records[request_id] = record
        if call.options.detached:
            record.finish()
        return record

    def cancel(self, request_id: str) -> bool:
        """Stop an invocation; false if it had ended already, or never was."""
        return request_id in self.records and self.records[request_id].cancel()

    def finish(self, request_id: str) -> None:
        """Run an invocation to its end, if there is one."""
        if request_id in self.records:
            self.records[request_id].finish()

    def find(self, request_id: str) -> Record:
        """Look an invocation up; StreamExpiredError if there is none."""
        if request_id not in self.records:
            raise StreamExpiredError(stream=request_id, request_id=request_id)
        return self.records[request_id]


class MemoryReader(Reader):
    """Reads one record, and has it advance."""

    def __init__(self, memory: Memory, request_id: str, after: str | None = None) -> None:
        super().__init__(
            keys.check_request_id(request_id),
            None,
            after=EventId.parse(after) if after is not None else events.START,
            pickup_timeout=0,
            orphan_timeout=0,
            retry_for_seconds=0,
            holds_lease=False,
            known=True,
        )
        self._memory = memory

    def next_events(self) -> Plan[list[Event]]:
        """Give the events that are there, else have the next one written; none after the end."""
        yield from ()
        record = self._memory.find(self.request_id)
        found = record.after(self.state.last)
        while not found and not record.ended:
            record.advance()
            found = record.after(self.state.last)
        for event in found:
            self._note(event)
        self.state.ended = self.state.ended or not found
        return found


def no_redis(batch: Batch) -> NotImplementedError:
    """Give the error for something that the real session does and the fake one does not."""
    name = str(batch.commands[0][0])
    return NotImplementedError(f"the fake session has no Redis, and {name} was to be sent there")
