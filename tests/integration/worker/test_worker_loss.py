"""Workers that die, freeze, or are told to end; checked to fail without reaper, fence and drain."""

import signal
from pathlib import Path

import pytest
import redis
from rq import Queue

from invokeq import Session
from invokeq.errors import InvocationCancelledError, WorkerLostError
from invokeq.protocol import events
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.events import EventKind
from invokeq.protocol.redis import keys
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker
from tests.support.waiting import eventually

BOUND = 25.0
"""Seconds for a test to fail; the promise is 10, and is measured in bench."""


def books(client: redis.Redis) -> dict[str, int]:
    lane = Queue("llm:acme", connection=client, serializer=OrjsonSerializer)
    return {
        "queued": lane.count,
        "started": lane.started_job_registry.count,
        "finished": lane.finished_job_registry.count,
        "failed": lane.failed_job_registry.count,
    }


def test_kill_9_before_and_after_the_first_chunk(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    with running_worker(redis_url, tmp_path, name="victim") as victim:
        spoken = session.model.llm.submit(stream_config(chunks=1000, rate=20), user("x"))
        spoken_items = iter(spoken)
        next(spoken_items)
        silent = session.model.llm.submit(
            stream_config(chunks=3, first_chunk_delay=8), user("x"), detached=True
        )
        rid = silent.request_id
        eventually("the silent one runs", lambda: "started" in victim.vendor_events(rid))
        with running_worker(redis_url, tmp_path, name="heir") as heir:
            victim.stop(signal.SIGKILL)
            with pytest.raises(WorkerLostError) as caught:
                list(spoken)
            assert caught.value.attempt == 1
            assert caught.value.events >= 1
            chunks = list(silent)
            assert len(chunks) >= 3
            assert silent.last_id.startswith("2-")
            assert silent.status().attempt == 2
            assert heir.vendor_events(rid) == ["started", "finished"]
            want = {"queued": 0, "started": 0, "finished": 1, "failed": 1}
            eventually("books are right", lambda: books(redis_client) == want)
            assert redis_client.zrange(keys.LEASES, 0, -1) == [b"heir"]
            assert redis_client.smembers(keys.WORKERS) == {keys.worker("heir").encode()}


def test_a_frozen_worker_that_comes_back_cannot_write_any_more(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    with (
        running_worker(redis_url, tmp_path, name="zombie") as zombie,
    ):
        invocation = session.model.llm.submit(
            stream_config(chunks=3000, rate=50), user("x"), detached=True
        )
        rid = invocation.request_id
        invocation_items = iter(invocation)
        next(invocation_items)
        with running_worker(redis_url, tmp_path, name="heir"):
            zombie.process.send_signal(signal.SIGSTOP)
            with pytest.raises(WorkerLostError):
                list(invocation)
            before = redis_client.xrange(keys.events(rid))
            zombie.process.send_signal(signal.SIGCONT)
            eventually(
                "the zombie gave its vendor up", lambda: "closed" in zombie.vendor_events(rid)
            )
            assert redis_client.xrange(keys.events(rid)) == before
            eventually(
                "the zombie is alive again",
                lambda: redis_client.zscore(keys.LEASES, "zombie") is not None,
            )
            assert books(redis_client)["failed"] == 1


def test_a_worker_alone_settles_what_its_predecessor_left(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    with running_worker(redis_url, tmp_path, name="first") as first:
        invocation = session.model.llm.submit(
            stream_config(chunks=2, first_chunk_delay=1), user("x"), detached=True
        )
        rid = invocation.request_id
        eventually("it runs", lambda: "started" in first.vendor_events(rid))
        first.stop(signal.SIGKILL)
    with running_worker(redis_url, tmp_path, name="second"):
        assert list(invocation)
    assert redis_client.hget(keys.job(rid), "attempt") == b"2"


def test_a_job_that_kills_its_workers_is_given_up(
    redis_url: str, tmp_path: Path, session: Session
) -> None:
    limits = {"max_attempts": 2}
    hang = stream_config(hang_after=0)
    with running_worker(redis_url, tmp_path, name="w1", limits=limits) as first:
        poison = session.model.llm.submit(hang, user("x"), detached=True)
        rid = poison.request_id
        eventually("it runs", lambda: "started" in first.vendor_events(rid))
        first.stop(signal.SIGKILL)
    with running_worker(redis_url, tmp_path, name="w2", limits=limits) as second:
        eventually("taken over", lambda: "started" in second.vendor_events(rid), within=BOUND)
        second.stop(signal.SIGKILL)
    with running_worker(redis_url, tmp_path, name="w3", limits=limits) as third:
        with pytest.raises(WorkerLostError) as caught:
            list(poison)
        assert (caught.value.attempt, caught.value.events) == (2, 0)
        assert third.vendor_events(rid) == []


def test_without_any_worker_left_the_reader_is_told(
    redis_url: str, tmp_path: Path, session: Session
) -> None:
    with running_worker(redis_url, tmp_path, name="only") as only:
        invocation = session.model.llm.submit(stream_config(chunks=1000, rate=20), user("x"))
        invocation_items = iter(invocation)
        next(invocation_items)
        only.stop(signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="only"):
            list(invocation)


@pytest.mark.parametrize(
    ("kind", "last", "book", "state"),
    [
        (EventKind.DONE, events.done(None), "finished", "done"),
        (EventKind.FAILED, events.failed({"code": "internal"}), "failed", "failed"),
    ],
)
def test_a_worker_that_dies_between_its_last_event_and_its_books(
    redis_url: str,
    redis_client: redis.Redis,
    tmp_path: Path,
    session: Session,
    kind: EventKind,
    last: bytes,
    book: str,
    state: str,
) -> None:
    """On a cluster they are in two slots. Fails when the reaper looks for no last event: it then
    fails what was done, and runs again what had failed."""
    with running_worker(redis_url, tmp_path, name="victim") as victim:
        plan = stream_config(hang_after=int(kind is EventKind.DONE))
        invocation = session.model.llm.submit(plan, user("x"), detached=True)
        rid = invocation.request_id
        eventually("it runs", lambda: "started" in victim.vendor_events(rid))
        if kind is EventKind.DONE:
            invocation_items = iter(invocation)
            next(invocation_items)
        assert victim.stop(signal.SIGKILL) != 0
    redis_client.xadd(keys.events(rid), {"k": kind.value, "d": last}, id="1-100")
    with running_worker(redis_url, tmp_path, name="heir") as heir:
        eventually("books are closed", lambda: books(redis_client)[book] == 1, within=BOUND)
        assert sum(books(redis_client).values()) == 1
        assert invocation.status().state == state
        assert heir.vendor_events(rid) == []


def test_sigterm_lets_what_runs_finish_and_claims_nothing_more(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    with running_worker(redis_url, tmp_path, name="old") as old:
        running = session.model.llm.submit(stream_config(chunks=40, rate=50), user("x"))
        running_items = iter(running)
        next(running_items)
        old.process.send_signal(signal.SIGTERM)
        eventually("it drains", lambda: "draining" in old.log.read_text())
        waiting = session.model.llm.submit(stream_config(chunks=1), user("x"), detached=True)
        assert len(list(running)) >= 39
        assert old.process.wait(BOUND) == 0
        assert waiting.status().state == "queued"
        with running_worker(redis_url, tmp_path, name="new"):
            assert list(waiting)
            eventually("books", lambda: books(redis_client)["finished"] == 2)


def test_the_end_of_the_grace_time_hands_back_the_unspoken_and_ends_the_rest(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    limits = {"shutdown_grace": 1}
    with running_worker(redis_url, tmp_path, name="old", limits=limits) as old:
        spoken = session.model.llm.submit(stream_config(hang_after=1), user("x"))
        spoken_items = iter(spoken)
        next(spoken_items)
        unspoken = session.model.llm.submit(
            stream_config(chunks=1, first_chunk_delay=3), user("x"), detached=True
        )
        rid = unspoken.request_id
        eventually("it runs", lambda: "started" in old.vendor_events(rid))
        assert old.stop() == 0
        with pytest.raises(InvocationCancelledError) as caught:
            list(spoken)
        assert caught.value.reason == "shutdown"
        assert unspoken.status().state == "queued"
        assert books(redis_client) == {"queued": 1, "started": 0, "finished": 0, "failed": 0}
        with running_worker(redis_url, tmp_path, name="new"):
            assert list(unspoken)


def test_a_second_sigterm_ends_at_once(redis_url: str, tmp_path: Path, session: Session) -> None:
    with running_worker(redis_url, tmp_path, name="old", limits={"shutdown_grace": 600}) as old:
        spoken = session.model.llm.submit(stream_config(hang_after=1), user("x"))
        spoken_items = iter(spoken)
        next(spoken_items)
        old.process.send_signal(signal.SIGTERM)
        eventually("it drains", lambda: "draining" in old.log.read_text())
        assert old.stop() == 0
        with pytest.raises(InvocationCancelledError):
            list(spoken)
