"""The reader without any I/O: a plan is driven by hand, so that every turn of fate can be
played."""

from collections.abc import Generator
from typing import Any

import pytest

from invokeq.operations.reader import Reader
from invokeq.protocol import events
from invokeq.protocol.errors import (
    EventsLostError,
    InvocationCancelledError,
    PickupTimeoutError,
    StreamExpiredError,
)
from invokeq.protocol.events import START, Event, EventId, EventKind
from invokeq.protocol.redis import keys
from invokeq.transport.batch import Batch
from invokeq_worker.streams.event_stream import MAX_ENTRY

RID = "ab" * 16
CLOCK = [b"1000", b"0"]
ALIVE = b"1005000"

Plan = Generator[Batch, list[Any], list[Event]]


def reader(after: EventId = START, known: bool = True, **changes: Any) -> Reader:
    arguments: dict[str, Any] = {
        "pickup_timeout": 60.0,
        "orphan_timeout": 30.0,
        "retry_for_seconds": 1.0,
        "holds_lease": True,
        **changes,
    }
    return Reader(RID, "llm:acme", after=after, known=known, **arguments)


def pack(chunks: list[bytes]) -> bytes:
    return events.entry_fields([EventKind.CHUNK] * len(chunks), chunks)[1]


def entry(entry_id: str, kind: EventKind, payload: bytes) -> list[Any]:
    return [entry_id.encode(), [b"k", kind.value.encode(), b"d", payload]]


def reply(*entries: list[Any]) -> list[Any]:
    return [[keys.events(RID).encode(), list(entries)]]


def finish(plan: Plan, replies: list[Any]) -> list[Event]:
    with pytest.raises(StopIteration) as stop:
        plan.send(replies)
    return stop.value.value


def looked(status: str, *, lease: bytes | None = ALIVE, top: list[Any] | None = None) -> list[Any]:
    """Replies to a read that looks at the books and finds nothing new."""
    books = [value.encode() if value else None for value in (status, "w1", "llm:acme")]
    return [books, CLOCK, lease, top or [], None]


def silent(read: Reader) -> Plan:
    """Start a plan and let its first read stay silent, so that the next one looks."""
    plan = read.next_events()
    next(plan)
    plan.send([None])
    return plan


def test_events_come_once_and_the_place_is_kept() -> None:
    read = reader()
    plan = read.next_events()
    first = next(plan)
    assert first.wait is not None
    assert first.wait.after == "0-0"
    started = entry("1-0", EventKind.STARTED, events.started("w1", 1.0))
    chunks = entry("1-3", EventKind.CHUNK, pack([b"1", b"2", b"3"]))
    got = finish(plan, [reply(started, chunks)])
    assert [str(e.id) for e in got] == ["1-0", "1-1", "1-2", "1-3"]
    following = next(read.next_events())
    assert following.wait is not None
    assert following.wait.after == "1-3"
    assert read.state.answers == 3


def test_reading_goes_on_in_the_middle_of_an_entry() -> None:
    read = reader(EventId(1, 2), known=False, holds_lease=False)
    plan = read.next_events()
    next(plan)
    entries = reply(entry("1-4", EventKind.CHUNK, pack([b"1", b"2", b"3", b"4"])))
    got = finish(plan, [*looked("started")[:-1], entries])
    assert [(str(e.id), e.data) for e in got] == [("1-3", 3), ("1-4", 4)]


@pytest.mark.parametrize(
    ("after", "ids"),
    [("0-0", ["1-1"]), ("1-0", ["1-2"]), ("1-3", ["1-4", "1-6"]), ("1-3", ["2-1"])],
)
def test_a_gap_in_the_stream_is_told(after: str, ids: list[str]) -> None:
    read = reader(EventId.parse(after))
    plan = read.next_events()
    next(plan)
    with pytest.raises(EventsLostError, match="between"):
        plan.send([reply(*(entry(i, EventKind.CHUNK, pack([b"1"])) for i in ids))])


def test_a_silent_read_makes_the_next_one_look_at_the_books() -> None:
    plan = reader().next_events()
    assert next(plan).commands == []
    batch = plan.send([None])
    assert [c[0] for c in batch.commands] == ["HMGET", "TIME", "ZSCORE", "XREVRANGE"]


def test_the_lease_is_renewed_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("invokeq.operations.reader.time.monotonic", lambda: now)
    read = reader()
    assert next(read.next_events()).commands == []
    now += 11.0  # over a third of the orphan timeout
    (renewal,) = next(read.next_events()).commands
    assert renewal == ("SET", keys.reader(RID), b"0-0 1", "EX", 30, "GET")
    read.let_go()
    now += 11.0
    assert next(read.next_events()).commands == []


def test_a_reader_that_only_watches_has_no_lease() -> None:
    commands = next(reader(known=False, holds_lease=False).next_events()).commands
    assert not {"SET", "GETEX"} & {command[0] for command in commands}


def large(first: int, count: int, size: int) -> list[Any]:
    """Entries of one large chunk each."""
    said = pack([b'"' + b"x" * size + b'"'])
    return reply(*(entry(f"1-{n}", EventKind.CHUNK, said) for n in range(first, first + count)))


def test_large_entries_are_decoded_one_at_a_time_without_asking_again() -> None:
    read = reader(EventId(1, 0))
    plan = read.next_events()
    assert next(plan).wait is not None
    assert [str(e.id) for e in finish(plan, [large(1, 3, 100_000)])] == ["1-1"]
    for expected in ("1-2", "1-3"):
        with pytest.raises(StopIteration) as stop:
            next(read.next_events())
        assert [str(e.id) for e in stop.value.value] == [expected]
    following = next(read.next_events())
    assert following.wait is not None
    assert following.wait.after == "1-3"


def test_a_read_is_bounded() -> None:
    first = next(reader().next_events())
    assert first.wait is not None
    assert first.wait.limit * MAX_ENTRY <= 8 * 1024 * 1024


def test_the_place_that_is_told_is_what_the_caller_is_done_with_not_what_was_read() -> None:
    read = reader(EventId(1, 0))
    plan = read.next_events()
    next(plan)
    given = finish(plan, [large(1, 2, 40_000)])
    assert not read.taken(given[0])
    told = next(read.next_events()).commands
    assert told == [("SET", keys.reader(RID), b"1-1 1", "EX", 30, "GET")]


def test_a_caller_that_is_busy_with_what_was_fetched_tells_of_its_place_all_the_same() -> None:
    read = reader(EventId(1, 0))
    plan = read.next_events()
    next(plan)
    events_given = finish(plan, [large(1, 20, 100_000)])
    trips = 0
    while events_given[-1].id.sequence < 20:
        assert not read.taken(events_given[0])
        plan = read.next_events()
        try:
            batch = next(plan)
            assert batch.wait is None
            trips += 1
            events_given = finish(plan, [None])
        except StopIteration as stop:
            events_given = stop.value
    assert trips == 1  # in 2 MB: one for each megabyte, but the last goes with the next read


def test_the_lease_is_renewed_between_two_events(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("invokeq.operations.lease.time.monotonic", lambda: now)
    read = reader(EventId(1, 0))
    plan = read.next_events()
    next(plan)
    given = finish(plan, [reply(entry("1-2", EventKind.CHUNK, pack([b"1", b"2"])))])
    assert not read.taken(given[0])
    now = 11.0
    assert read.taken(given[1])
    assert next(read.renew()).commands == [
        ("SET", keys.reader(RID), b"1-2 1", "EX", 30, "GET"),
    ]


def test_an_order_that_a_renewal_has_overwritten_is_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("invokeq.operations.lease.time.monotonic", lambda: now)
    read = reader(EventId(1, 0))
    plan = read.renew()
    next(plan)
    batch = plan.send([b"cancel:operator"])
    assert batch.commands == [("SET", keys.reader(RID), b"cancel:operator", "EX", 600)]
    now = 100.0
    assert next(read.next_events()).commands == []


def test_who_has_no_part_in_an_invocation_does_not_end_it_when_events_are_gone() -> None:
    read = reader(known=False)
    plan = read.next_events()
    next(plan)
    with pytest.raises(EventsLostError, match="window_bytes"):
        plan.send([b"1-9 1", *looked("started")[:-1], large(9, 1, 10)])
    assert read.state.ended


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("", StreamExpiredError),
        ("canceled", InvocationCancelledError),
        ("stopped", InvocationCancelledError),
        ("finished", StreamExpiredError),
        ("failed", StreamExpiredError),
    ],
)
def test_what_can_never_come_is_an_error(status: str, error: type[Exception]) -> None:
    plan = silent(reader())
    with pytest.raises(error):
        plan.send(looked(status))


def test_the_end_of_a_stream_that_was_read_already_is_no_error() -> None:
    read = reader(EventId(1, 7), known=False, holds_lease=False)
    plan = read.next_events()
    next(plan)
    assert finish(plan, looked("finished", top=[[b"1-7", []]])) == []
    assert read.state.ended


def test_waiting_in_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("invokeq.operations.reader.time.monotonic", lambda: now)
    plan = silent(reader(pickup_timeout=60.0))
    plan.send(looked("queued"))
    now = 61.0
    cancelling = plan.send(looked("queued"))
    assert cancelling.commands[0][0] == "HMGET"
    with pytest.raises(PickupTimeoutError, match="60 s"):
        plan.send([[None, None, None, None]])


def test_a_takeover_starts_the_wait_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("invokeq.operations.reader.time.monotonic", lambda: now)
    read = reader(pickup_timeout=60.0, orphan_timeout=1000.0)
    plan = read.next_events()
    next(plan)
    now = 50.0
    lost = entry("1-18446744073709551615", EventKind.LOST, events.lost("w1"))
    finish(plan, [reply(lost)])
    plan = silent(read)
    now = 100.0
    plan.send(looked("queued"))  # 50 s after the takeover: still within the bound
    now = 111.0
    assert plan.send(looked("queued")).commands[0][0] == "HMGET"


def test_a_request_id_that_somebody_has_just_taken_gets_some_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("invokeq.operations.reader.time.monotonic", lambda: now)
    plan = silent(reader(grace=5.0))
    plan.send(looked(""))
    now = 6.0
    with pytest.raises(StreamExpiredError):
        plan.send(looked(""))
