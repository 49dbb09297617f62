"""When a run must wait for its reader, and what of its stream may go."""

import random

import pytest

from invokeq.protocol.events import EventId, EventKind
from invokeq_worker.config.values import Window
from invokeq_worker.streams.event_stream import EventWriter
from invokeq_worker.streams.window import ENTRY_OVERHEAD, MARKS, StreamWindow

WINDOW = Window(events=100, bytes=64_000, detached_bytes=200_000)


class Stream:
    """A stream window, and what Redis would hold: the size of each entry by its event."""

    def __init__(self, window: Window = WINDOW) -> None:
        self.window = StreamWindow(window)
        self.last = -1
        self.entries: dict[int, int] = {}

    @property
    def full(self) -> bool:
        return self.window.is_over(self.last)

    @property
    def held(self) -> int:
        return sum(self.entries.values())

    def say(self, size: int) -> None:
        self.window.begin_entry(self.last)
        self.window.bytes += size
        self.last += 1
        self.entries[self.last] = size + ENTRY_OVERHEAD

    def take(self, position: int) -> None:
        self.window.acknowledge(position, self.last)

    def trim(self) -> int | None:
        upto = self.window.trim()
        for gone in [at for at in self.entries if upto is not None and at <= upto]:
            del self.entries[gone]
        return upto


def test_a_run_waits_once_its_reader_is_too_many_events_behind() -> None:
    stream = Stream()
    for _ in range(WINDOW.events):
        stream.say(10)
    assert not stream.full
    stream.say(10)
    assert stream.full
    stream.take(0)
    assert not stream.full


def test_a_run_waits_once_its_reader_is_too_many_bytes_behind() -> None:
    stream = Stream()
    while not stream.full:
        stream.say(1000)
    assert WINDOW.bytes < stream.held <= WINDOW.bytes + 1000 + ENTRY_OVERHEAD
    stream.take(stream.last)
    assert not stream.full


def test_a_position_never_goes_back() -> None:
    stream = Stream()
    for _ in range(WINDOW.events + 1):
        stream.say(10)
    stream.take(50)
    stream.take(3)
    for _ in range(50):
        stream.say(10)
    assert not stream.full


def test_a_position_that_was_never_said_counts_as_the_last_event() -> None:
    stream = Stream()
    stream.say(10)
    stream.take(10**18)
    for _ in range(WINDOW.events + 1):
        stream.say(10)
    assert stream.full


def test_nothing_of_a_stream_within_the_window_is_trimmed() -> None:
    stream = Stream()
    while stream.held + 1000 + ENTRY_OVERHEAD <= WINDOW.bytes:
        stream.say(1000)
        stream.take(stream.last)
        assert stream.trim() is None


def test_nothing_is_trimmed_that_has_not_been_taken() -> None:
    stream = Stream()
    while not stream.full:
        stream.say(1000)
    assert stream.trim() is None
    stream.take(9)
    stream.say(30_000)
    upto = stream.trim()
    assert upto is not None
    assert upto <= 9


def test_one_entry_larger_than_the_window_stays() -> None:
    stream = Stream()
    for _ in range(3):
        stream.say(WINDOW.bytes * 2)
        stream.take(stream.last)
        stream.trim()
    assert list(stream.entries) == [2]


@pytest.mark.parametrize("seed", range(20))
def test_redis_holds_about_the_window_whatever_the_reader_does(seed: int) -> None:
    """Fails when `trim` gives less than is enough, or more than was taken."""
    chance = random.Random(seed)
    stream = Stream()
    taken = -1
    largest = 8000
    for _ in range(3000):
        if stream.full or chance.random() < 0.3:
            taken = chance.randint(taken, stream.last)
            stream.take(taken)
        else:
            stream.say(chance.randint(1, largest))
        stream.trim()
        untaken = [at for at in stream.entries if at > taken]
        assert untaken == list(range(taken + 1, stream.last + 1))
        between_marks = WINDOW.bytes // MARKS + largest + ENTRY_OVERHEAD
        assert stream.held <= WINDOW.bytes + between_marks + largest + ENTRY_OVERHEAD
        passed = stream.held - sum(stream.entries[at] for at in untaken)
        assert stream.held <= WINDOW.bytes or passed < between_marks
    assert stream.last > 500
    assert len(stream.entries) < stream.last


def test_a_stream_without_a_reader_is_neither_held_back_nor_trimmed_up_to_its_own_bound() -> None:
    stream = Stream()
    stream.window.has_reader = False
    while stream.held <= WINDOW.detached_bytes:
        assert not stream.full
        stream.say(1000)
        assert stream.trim() is None
    assert stream.full


def test_commands_trim_before_they_add_and_never_within_an_entry() -> None:
    dirty: list[int] = []
    writer = EventWriter("ab" * 16, 3, lambda _, size: dirty.append(size), lambda: None, WINDOW)
    writer.event(EventKind.STARTED, b"{}")
    for _ in range(4):
        for _ in range(20):
            writer.chunk(b"x" * 1000)
        writer.take_commands()
        writer.acknowledge(EventId(3, 1000))
    writer.chunk(b"x" * 20_000)
    (trim, none), (add, sequence) = [c for c in writer.take_commands() if c[0][0] != "EXPIRE"]
    assert (trim[0], trim[2:], none) == ("XTRIM", ("MINID", "=", "3-41"), None)
    assert (add[0], sequence) == ("XADD", 81)


def test_a_reader_in_another_attempt_says_nothing_of_this_one() -> None:
    writer = EventWriter("ab" * 16, 2, lambda _, __: None, lambda: None, WINDOW)
    while not writer.is_over_window:
        writer.event(EventKind.SEGMENT, b"{}", b"x" * 1000)
    for attempt in (1, 3):
        writer.acknowledge(EventId(attempt, 10**6))
    assert writer.is_over_window
    writer.acknowledge(EventId(2, 10))
    assert not writer.is_over_window


def test_reading_on_makes_room_for_trimming_without_waiting_for_more_to_be_said() -> None:
    dirty: list[int] = []
    writer = EventWriter("ab" * 16, 1, lambda _, size: dirty.append(size), lambda: None, WINDOW)
    while not writer.is_over_window:
        writer.event(EventKind.SEGMENT, b"{}", b"x" * 1000)
    writer.take_commands()
    dirty.clear()
    writer.acknowledge(EventId(1, 30))
    assert dirty == [0]
    assert [command[0] for command, _ in writer.take_commands()] == ["XTRIM"]
