"""Readers that are slower than the model: what Redis and the worker hold meanwhile.

Each test was seen to fail without what it is about: a run that does not wait, nothing trimmed, a
reader that does not say how far it has come, or what the test's own docstring names.
"""

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import Session
from invokeq.errors import (
    DeadlineExceededError,
    EventsLostError,
    InvocationCancelledError,
    StreamFullError,
    WorkerLostError,
)
from invokeq.invocation import Invocation
from invokeq.protocol.redis import keys
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.clients import connect
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

WINDOW = 1024 * 1024
BATCH = 384 * 1024
"""What may come on top: one entry, and a 64th of the window."""

CHUNK = 4096
LIMITS = {"window_bytes": WINDOW, "detached_bytes": 3 * WINDOW, "provider_silence": 1}
PAGE = 4096


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with a small window and little patience for silent vendors."""
    with running_worker(redis_url, tmp_path, limits=LIMITS) as process:
        yield process


class Held:
    """The most that Redis ever held of one stream, looked at over and over by a thread."""

    def __init__(self, url: str, request_id: str) -> None:
        self._client = connect(url)
        self._key = keys.events(request_id)
        self._stopped = threading.Event()
        self.most = 0

    @property
    def now(self) -> int:
        held: Any = self._client.memory_usage(self._key, samples=0)
        self.most = max(self.most, held or 0)
        return held or 0

    @contextmanager
    def watched(self) -> Generator[None]:
        def look() -> None:
            while not self._stopped.wait(0.005):
                _ = self.now

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            self._client.close()


def is_full(held: Held) -> bool:
    return held.now > WINDOW * 0.9


def large(megabytes: int = 100_000, **plan: object) -> Any:
    chunks = megabytes * 1024 * 1024 // CHUNK
    return stream_config(chunks=chunks, chunk_size=CHUNK, **plan)


def last_sequence(invocation: Invocation[Any, Any]) -> int:
    return int((invocation.status().last_id or "0-0").split("-")[1])


def resident(worker: WorkerProcess) -> int:
    return int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * PAGE


def indexes(chunks: Iterator[Any]) -> list[int]:
    return [chunk.delta.index for chunk in chunks]


def die(invocation: Any) -> None:
    """Renew the lease no more, as if the process of the reader had died."""
    invocation._keeper.forget(invocation._hold)


@contextmanager
def stuck(session: Session, redis_url: str, **call: Any) -> Generator[Invocation[Any, Any]]:
    """An endless answer whose reader has taken one chunk of it, and whose window is full."""
    invocation = session.model.llm.submit(large(), user("x"), **call)
    held = Held(redis_url, invocation.request_id)
    with held.watched():
        invocation_items = iter(invocation)
        next(invocation_items)
        eventually("the window is full", lambda: is_full(held))
        yield invocation
        assert held.most < WINDOW + BATCH
    invocation.close()


def test_a_slow_reader_of_a_large_answer_fills_neither_redis_nor_the_worker(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    megabytes = 64
    invocation = session.model.llm.submit(large(megabytes), user("x"))
    held = Held(redis_url, invocation.request_id)
    items = iter(invocation)
    seen: list[int] = []
    memory: list[int] = []
    with held.watched():
        for step in range(megabytes - 1):
            eventually("the window is full", lambda: is_full(held))
            memory.append(resident(worker))
            seen += [next(items).delta.index for _ in range(1024 * 1024 // CHUNK)]
            if step % 20 == 0:
                other = session.model.llm.invoke(stream_config(chunks=200), user("y"))
                assert indexes(other) == list(range(201))
        seen += indexes(items)
    assert seen == list(range(megabytes * 1024 * 1024 // CHUNK + 1))
    assert held.most < WINDOW + BATCH
    assert max(memory) - memory[0] < 8 * 1024 * 1024


def test_waiting_for_the_reader_is_not_the_vendors_silence(
    redis_url: str, session: Session
) -> None:
    """Fails when a run that waits for room is not exempt in `check_silence`."""
    with stuck(session, redis_url) as invocation:
        end = time.monotonic() + 3 * LIMITS["provider_silence"]
        eventually("silence would have been noticed", lambda: time.monotonic() > end)
        items = iter(invocation)
        assert indexes(islice(items, WINDOW // CHUNK * 3))[-1] == WINDOW // CHUNK * 3 - 1


def test_a_deadline_passes_while_the_reader_is_slow(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    with stuck(session, redis_url, deadline=1.5) as invocation:
        rid = invocation.request_id
        eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
        with pytest.raises(DeadlineExceededError):
            list(invocation)


def test_a_cancel_reaches_a_run_that_waits_for_its_reader(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    with stuck(session, redis_url) as invocation:
        session.attach(invocation.request_id).cancel()
        rid = invocation.request_id
        eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
        with pytest.raises(InvocationCancelledError):
            list(invocation)


def test_an_order_in_the_lease_reaches_a_run_that_waits_for_its_reader(
    redis_url: str, redis_client: redis.Redis, session: Session, worker: WorkerProcess
) -> None:
    """The cancel whose announcement got lost; fails when the leases of those that wait are not
    read."""
    with stuck(session, redis_url) as invocation:
        rid = invocation.request_id
        redis_client.set(keys.reader(rid), "cancel:operator", ex=60)
        eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
        with pytest.raises(InvocationCancelledError) as caught:
            list(invocation)
        assert caught.value.reason == "operator"


def test_a_run_whose_slow_reader_has_died_ends(redis_url: str, worker: WorkerProcess) -> None:
    with (
        Session("acme", redis=redis_url, orphan_timeout=1) as session,
        stuck(session, redis_url) as invocation,
    ):
        rid = invocation.request_id
        die(invocation)
        eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
        with pytest.raises(InvocationCancelledError) as caught:
            list(invocation)
        assert caught.value.reason == "consumer_gone"


def test_a_reader_is_alive_while_its_caller_takes_one_event_after_the_other(
    redis_url: str, worker: WorkerProcess
) -> None:
    """Fails when the lease is renewed only with reads: what was fetched lasts for longer."""
    with Session("acme", redis=redis_url, orphan_timeout=1) as session:
        invocation = session.model.llm.submit(stream_config(chunks=100_000), user("x"))
        rid = invocation.request_id
        eventually("the window is full", lambda: last_sequence(invocation) >= 10_000)
        items = iter(invocation)
        seen: list[int] = []
        end = time.monotonic() + 4.5

        def took_one() -> bool:
            seen.append(next(items).delta.index)
            return time.monotonic() > end

        eventually("the lease would have lapsed", took_one)
        assert "closed" not in worker.vendor_events(rid)
        assert seen == list(range(len(seen)))
        invocation.close()


def test_shutdown_does_not_wait_for_a_reader_beyond_the_grace_time(
    redis_url: str, tmp_path: Path, session: Session, worker: WorkerProcess
) -> None:
    worker.stop()
    limits = {**LIMITS, "shutdown_grace": 1}
    with (
        running_worker(redis_url, tmp_path, name="w2", limits=limits) as second,
        stuck(session, redis_url) as invocation,
    ):
        assert second.stop() == 0
        with pytest.raises(InvocationCancelledError) as caught:
            list(invocation)
        assert caught.value.reason == "shutdown"


def test_a_late_reader_of_a_trimmed_stream_is_told_and_a_place_within_the_window_goes_on(
    redis_url: str, session: Session
) -> None:
    """Fails without the check for gaps: the late reader then gets a part of the answer."""
    invocation = session.model.llm.submit(large(4), user("x"))
    whole = list(invocation)
    assert len(whole) == 4 * 1024 * 1024 // CHUNK + 1
    for after in (None, "1-5"):
        late = session.attach(invocation.request_id, after)
        with pytest.raises(EventsLostError, match="window_bytes"):
            next(iter(late))
    cut = len(whole) - WINDOW // CHUNK // 2
    rest = session.attach(invocation.request_id, after=f"1-{cut}")
    assert list(rest) == whole[cut:]


def test_a_second_reader_that_comes_too_late_does_not_disturb_the_first(
    redis_url: str, session: Session
) -> None:
    """Fails when a reader that is not the first cancels what it cannot read."""
    megabytes = 6
    first = session.model.llm.submit(large(megabytes), user("x"), request_id="12" * 16)
    items = iter(first)
    seen = [next(items).delta.index for _ in range(3 * 1024 * 1024 // CHUNK)]
    held = Held(redis_url, first.request_id)
    with held.watched():
        eventually("the window is full", lambda: is_full(held))
        second = session.model.llm.submit(large(megabytes), user("x"), request_id="12" * 16)
        with pytest.raises(EventsLostError):
            list(second)
        seen += indexes(items)
    assert seen == list(range(megabytes * 1024 * 1024 // CHUNK + 1))


def test_a_second_reader_that_is_faster_waits_for_the_first(
    redis_url: str, session: Session
) -> None:
    """Fails when every reader writes its own place into the lease: then the first loses events."""
    megabytes = 4
    rid = "34" * 16
    whole = list(range(megabytes * 1024 * 1024 // CHUNK + 1))
    first = session.model.llm.submit(large(megabytes), user("x"), request_id=rid)
    items = iter(first)
    seen = [next(items).delta.index]
    second = session.model.llm.submit(large(megabytes), user("x"), request_id=rid)
    others: list[int] = []

    def read() -> None:
        others.extend(chunk.delta.index for chunk in second)

    thread = threading.Thread(target=read)
    thread.start()
    eventually("the second is ahead", lambda: len(others) > WINDOW // CHUNK // 2)
    end = time.monotonic() + 1
    eventually("the second could have gone on", lambda: time.monotonic() > end)
    assert len(others) < 2 * WINDOW // CHUNK
    for chunk in items:
        seen.append(
            chunk.delta.index
        )  # side by side: a window ahead of it, the rest would be trimmed
        eventually("the second keeps up", lambda: len(others) > len(seen) - WINDOW // CHUNK // 2)
    thread.join()
    assert seen == whole
    assert others == whole


def test_a_second_reader_takes_over_from_a_first_that_has_died(redis_url: str) -> None:
    """Fails when a follower never becomes the one who is waited for."""
    megabytes = 3
    rid = "56" * 16
    with Session("acme", redis=redis_url, orphan_timeout=1) as session:
        first = session.model.llm.submit(large(megabytes), user("x"), request_id=rid)
        first_items = iter(first)
        next(first_items)  # and never again
        die(first)
        second = session.model.llm.submit(large(megabytes), user("x"), request_id=rid)
        assert indexes(iter(second)) == list(range(megabytes * 1024 * 1024 // CHUNK + 1))


def test_an_answer_that_nobody_reads_ends_at_its_bound_and_can_be_read_up_to_there(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    invocation = session.model.llm.submit(large(), user("x"), detached=True)
    rid = invocation.request_id
    eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
    eventually("it has failed", lambda: invocation.status().state == "failed")
    held = Held(redis_url, rid)
    assert 3 * WINDOW < held.now < 3 * WINDOW + BATCH
    seen: list[int] = []
    with pytest.raises(StreamFullError, match="detached_bytes"):
        seen.extend(chunk.delta.index for chunk in invocation)
    assert len(seen) > WINDOW // CHUNK
    assert seen == list(range(len(seen)))


def test_letting_go_of_an_answer_that_waits_for_its_reader_lets_it_run_on(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    """Fails when `detach()` writes nothing that the worker can tell from a lease."""
    invocation = session.model.llm.submit(large(2), user("x"))
    rid = invocation.request_id
    held = Held(redis_url, rid)
    items = iter(invocation)
    with held.watched():
        next(items)
        eventually("the window is full", lambda: is_full(held))
        assert worker.vendor_events(rid) == ["started"]
        invocation.detach()
        invocation.close()
        eventually("it has ended", lambda: "finished" in worker.vendor_events(rid))
    assert indexes(iter(session.attach(rid))) == list(range(2 * 1024 * 1024 // CHUNK + 1))


def test_a_wait_for_the_reader_outlives_the_servers_death(tmp_path: Path) -> None:
    """Fails when a look that finds no server is the last one."""
    data = tmp_path / "data"
    data.mkdir()
    options = {"appendonly": "yes", "appendfsync": "everysec"}
    first = EmbeddedValkey.start(data_directory=data, options=options)
    assert first.port is not None
    assert first.pid is not None
    megabytes = 6
    with (
        running_worker(first.url, tmp_path, name="w2", limits={"window_bytes": WINDOW}) as worker,
        Session("acme", redis=first.url) as session,
    ):
        invocation = session.model.llm.submit(large(megabytes), user("x"))
        items = iter(invocation)
        seen = [next(items).delta.index for _ in range(2 * 1024 * 1024 // CHUNK)]
        held = Held(first.url, invocation.request_id)
        eventually("the window is full", lambda: is_full(held))
        os.kill(first.pid, signal.SIGKILL)
        eventually("it is dead", lambda: not first.running)
        first.stop()
        eventually("it is missed", lambda: "reader leases unavailable" in worker.log.read_text())
        with EmbeddedValkey.start(port=first.port, data_directory=data, options=options):
            with redis.Redis.from_url(first.url) as admin:
                admin.delete(keys.reader(invocation.request_id))
            seen += indexes(items)
    assert seen == list(range(megabytes * 1024 * 1024 // CHUNK + 1))


def test_what_was_trimmed_counts_when_a_worker_is_lost(
    redis_url: str, tmp_path: Path, session: Session, worker: WorkerProcess
) -> None:
    """Fails when the reaper counts only what is left of the stream."""
    invocation = session.model.llm.submit(large(), user("x"))
    held = Held(redis_url, invocation.request_id)
    items = iter(invocation)
    seen = indexes(islice(items, 3 * 1024 * 1024 // CHUNK))
    eventually("the window is full", lambda: is_full(held))
    with running_worker(redis_url, tmp_path, name="heir"):
        worker.stop(signal.SIGKILL)
        with pytest.raises(WorkerLostError) as caught:
            seen.extend(chunk.delta.index for chunk in items)
    assert seen == list(range(len(seen)))
    assert caught.value.events == len(seen)
