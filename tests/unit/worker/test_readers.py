"""Runs that wait for their readers, with a server that says what it is told to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from invokeq.protocol.events import EventId, EventKind
from invokeq.protocol.lease import DETACHED, cancel_order, position_lease
from invokeq.protocol.redis import keys
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_worker.config.values import Window
from invokeq_worker.engine.readers import GRACE, RETURN_GRACE, Readers
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.event_stream import EventWriter
from tests.support.waiting import eventually_async

WINDOW = Window(events=10, bytes=100_000, detached_bytes=1_000_000)


class Server:
    """Answers MGET with `leases`; without them it is away."""

    def __init__(self) -> None:
        self.leases: dict[str, bytes] | None = {}
        self.asked: list[list[str]] = []

    async def execute(self, name: str, *asked: str, timeout: float) -> list[bytes | None]:
        assert name == "MGET"
        self.asked.append(list(asked))
        if self.leases is None:
            raise RedisConnectionLostError("away")
        return [self.leases.get(key) for key in asked]


class FakeRun:
    """As much of a run as its reader has to do with."""

    def __init__(self, number: int, age: float = 60.0, window: Window = WINDOW) -> None:
        request_id = f"{number:032x}"
        self.job = Claimed("llm:acme", request_id, "x", 1, cast(Any, ""), b"")
        self.started_at = CLOCK.now - age
        self.cancelled: list[str] = []
        self.stream = EventWriter(request_id, 1, lambda _, __: None, lambda: None, window)

    def cancel(self, reason: str) -> None:
        self.cancelled.append(reason)

    def fill(self) -> "FakeRun":
        while not self.stream.is_over_window:
            self.stream.event(EventKind.CHUNK, b"[1]")
        return self

    @property
    def key(self) -> str:
        return keys.reader(self.job.id)


class Clock:
    """Time as the readers see it."""

    now = 1000.0


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have time pass only when it is told to."""
    watch = SimpleNamespace(monotonic=lambda: CLOCK.now, time=lambda: CLOCK.now)
    monkeypatch.setattr("invokeq_worker.engine.readers.time", watch)  # the loop keeps its own clock
    return CLOCK


class Table:
    """Readers, their server, and whether they have given it up."""

    def __init__(self) -> None:
        self.server = Server()
        self.lost = 0
        self.readers = Readers(cast(RedisConnection, self.server), self._lose, retention=30.0)

    def _lose(self) -> None:
        self.lost += 1

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.readers.run())
        try:
            yield
        finally:
            task.cancel()


async def test_nobody_is_asked_while_no_run_waits() -> None:
    table = Table()
    async with table.running():
        for _ in range(100):
            await asyncio.sleep(0)
    assert table.server.asked == []


async def test_all_that_wait_are_looked_at_together_and_go_on_one_by_one() -> None:
    table = Table()
    runs = [FakeRun(number) for number in range(3)]
    table.server.leases = {run.key: b"" for run in runs}
    async with table.running():
        waits = [asyncio.create_task(table.readers.wait_for_capacity(run.fill())) for run in runs]
        all_keys = [run.key for run in runs]
        await eventually_async("all are asked for", lambda: all_keys in table.server.asked)
        table.server.leases[runs[1].key] = position_lease(EventId(1, 3), 1)
        await waits[1]
        assert not waits[0].done()
        assert not waits[2].done()
        for run in runs:
            table.server.leases[run.key] = position_lease(EventId(1, 5), 2)
        await asyncio.gather(*waits)
    assert not any(run.cancelled for run in runs)


async def test_a_run_that_is_stopped_is_asked_for_no_longer() -> None:
    table = Table()
    run = FakeRun(1)
    table.server.leases = {run.key: b""}
    async with table.running():
        wait = asyncio.create_task(table.readers.wait_for_capacity(run.fill()))
        await eventually_async("it is asked for", lambda: table.server.asked)
        wait.cancel()
        await asyncio.wait([wait])
        asked = len(table.server.asked)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(table.server.asked) <= asked + 1  # one may have been on its way


async def test_a_reader_that_lets_go_sets_its_run_free() -> None:
    table = Table()
    run = FakeRun(1, window=WINDOW._replace(detached_bytes=1))  # to fail at the other bound
    table.server.leases = {run.key: DETACHED}
    async with table.running():
        await table.readers.wait_for_capacity(run.fill())
    assert not run.stream.has_reader
    assert run.cancelled == []


@pytest.mark.parametrize(
    ("age", "has_reader", "lease", "cancelled"),
    [
        (60.0, True, None, ["consumer_gone"]),
        (GRACE / 2, True, None, []),
        (60.0, False, None, []),
        (60.0, True, b"", []),
        (60.0, True, b"nonsense", []),
        (60.0, True, cancel_order("operator"), ["operator"]),
        (60.0, False, cancel_order("operator"), ["operator"]),
        (GRACE / 2, True, cancel_order("operator"), ["operator"]),
    ],
)
def test_what_a_lease_means_for_its_run(
    age: float, has_reader: bool, lease: bytes | None, cancelled: list[str]
) -> None:
    run = FakeRun(1, age)
    if not has_reader:
        run.stream.detach()
    Table().readers.apply_leases([run], [lease])
    assert run.cancelled == cancelled


def test_readers_get_time_to_return_after_the_server_was_away(clock: Clock) -> None:
    table = Table()
    run = FakeRun(1)
    table.readers.on_unavailable("away")
    clock.now += RETURN_GRACE / 2
    table.readers.apply_leases([run], [None])
    assert run.cancelled == []
    clock.now += RETURN_GRACE
    table.readers.apply_leases([run], [None])
    assert run.cancelled == ["consumer_gone"]


async def test_a_server_that_stays_away_ends_the_wait_though_nothing_is_to_be_written(
    clock: Clock,
) -> None:
    """Fails when nothing counts for how long readers could not be seen."""
    table = Table()
    table.server.leases = None
    async with table.running():
        wait = asyncio.create_task(table.readers.wait_for_capacity(FakeRun(1).fill()))
        await eventually_async("it was missed", lambda: len(table.server.asked) > 1)
        assert not table.lost
        clock.now += 31.0
        await eventually_async("it was given up", lambda: table.lost)
        wait.cancel()


def test_a_server_that_stays_away_while_no_run_waits_is_the_writers_to_miss(clock: Clock) -> None:
    table = Table()
    table.readers.on_unavailable("away")
    clock.now += 100.0
    table.readers.on_unavailable("away")
    assert not table.lost


async def test_a_server_that_comes_back_in_time_is_not_given_up(clock: Clock) -> None:
    table = Table()
    run = FakeRun(1).fill()
    wait = asyncio.create_task(table.readers.wait_for_capacity(run))
    await asyncio.sleep(0)
    for _ in range(5):
        table.readers.on_unavailable("away")
        clock.now += 20.0
        table.readers.apply_leases([run], [b""])
    assert not table.lost
    wait.cancel()
