"""The reader's lease, on both sides: what is written, who writes it, and what is made of it."""

from typing import Any

import pytest

from invokeq.operations.lease import TELL_ALONE, TELL_BYTES, TELL_EVENTS, Lease
from invokeq.protocol import lease as protocol
from invokeq.protocol.events import START, EventId
from invokeq.protocol.lease import DETACHED, cancel_order, parse_lease, position_lease
from invokeq.protocol.redis import keys
from invokeq_worker.config.values import LEAST_WINDOW

RID = "ab" * 16
KEY = keys.reader(RID)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("invokeq.operations.lease.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def lease_of(first: bool = True) -> Lease:
    return Lease(RID, 30.0, held=True, first=first)


def renewed(lease: Lease) -> Any:
    return lease.renewal()


def sent(lease: Lease, *, quiet: bool) -> list[Any]:
    """Return the commands that go with a read."""
    command = lease.for_read(quiet=quiet)
    return [] if command is None else [command]


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (b"", protocol.Lease()),
        (position_lease(EventId(1, 57), 3), protocol.Lease(EventId(1, 57))),
        (b"1-57", protocol.Lease(EventId(1, 57))),
        (cancel_order("operator"), protocol.Lease(cancel="operator")),
        (DETACHED, protocol.Lease(detached=True)),
    ],
)
def test_what_a_lease_says(value: bytes, meaning: protocol.Lease) -> None:
    assert parse_lease(value) == meaning
    assert meaning.is_order == (meaning.position == START and bool(value))


@pytest.mark.parametrize(
    "value", [b"x", b"1-", b"-1", b"\xff\xfe", b"9" * 10_000, b"1-" + b"9" * 40, b" 1-2", b"1-2-3"]
)
def test_nonsense_is_a_reader_that_has_taken_nothing(value: bytes) -> None:
    assert parse_lease(value) == protocol.Lease()


def test_a_reader_that_keeps_up_says_so_once_in_many_events(clock: Clock) -> None:
    lease = lease_of()
    written = 0
    for number in range(TELL_EVENTS * 10):
        lease.took(EventId(1, number))
        written += len(sent(lease, quiet=False))
    assert written == 10
    assert LEAST_WINDOW.events >= TELL_EVENTS * 4
    assert LEAST_WINDOW.bytes >= TELL_BYTES * 4


def test_news_of_large_events_is_sent_at_once(clock: Clock) -> None:
    lease = lease_of()
    lease.took(EventId(1, 1))
    lease.took_bytes(TELL_BYTES)
    assert len(sent(lease, quiet=False)) == 1
    lease.took_bytes(TELL_BYTES * TELL_ALONE - 1)
    assert not lease.has_much_news
    lease.took_bytes(1)
    assert lease.has_much_news


def test_a_read_that_found_nothing_is_followed_by_the_last_news(clock: Clock) -> None:
    lease = lease_of()
    lease.took(EventId(1, 1))
    assert sent(lease, quiet=False) == []
    assert [command[2] for command in sent(lease, quiet=True)] == [b"1-1 1"]
    assert sent(lease, quiet=True) == []


def test_a_second_reader_follows_the_first_and_writes_nothing(clock: Clock) -> None:
    second = lease_of(first=False)
    look: Any = ("GETEX", KEY, "EX", 30)
    assert sent(second, quiet=True) == [look]
    assert second.heard(b"1-500 7") == []
    for number in range(10_000):
        second.took(EventId(1, number))
        assert sent(second, quiet=False) == []
    clock.now = 11.0
    assert sent(second, quiet=False) == [look]
    assert second.heard(b"1-500 8") == []


def test_a_second_reader_takes_over_when_the_first_has_gone(clock: Clock) -> None:
    second = lease_of(first=False)
    second.took(EventId(1, 3))
    for clock.now in (0.0, 11.0, 22.0):
        renewed(second)
        assert second.heard(b"1-500 7") == []
    clock.now = 33.0
    assert renewed(second)[0] == "GETEX"
    second.heard(b"1-500 7")
    assert [command[2] for command in sent(second, quiet=False)] == [b"1-3 1"]


def test_a_second_reader_takes_a_lapsed_lease_over_at_once(clock: Clock) -> None:
    second = lease_of(first=False)
    renewed(second)
    second.heard(None)
    assert [command[0] for command in sent(second, quiet=False)] == ["SET"]


def test_a_second_reader_gives_way_when_the_first_is_back(clock: Clock) -> None:
    second = lease_of(first=False)
    renewed(second)
    second.heard(None)
    own = renewed(second)[2]
    second.heard(None)
    again = renewed(second)[2]
    assert own != again
    second.heard(own)
    assert renewed(second)[0] == "SET"
    second.heard(again)
    renewed(second)
    second.heard(b"1-500 8")
    assert renewed(second)[0] == "GETEX"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("order", "life"), [(b"cancel:caller", 600), (DETACHED, 86_400)])
def test_an_order_is_put_back_and_ends_the_lease(
    clock: Clock, first: bool, order: bytes, life: int
) -> None:
    lease = lease_of(first)
    renewed(lease)
    assert lease.heard(order) == [("SET", KEY, order, "EX", life)]
    assert not lease.held
    clock.now = 100.0
    assert sent(lease, quiet=True) == []


def test_the_first_reader_writes_on_whatever_it_overwrites(clock: Clock) -> None:
    lease = lease_of()
    for value in (None, b"", b"1-1 1", b"nonsense"):
        assert renewed(lease)[0] == "SET"
        assert lease.heard(value) == []
