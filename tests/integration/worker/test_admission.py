"""How much may wait, and that of what was refused nothing is left."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import Session
from invokeq.errors import QueueFullError
from invokeq.operations import directory
from invokeq.protocol.redis import keys
from invokeq.session_base import parts_of
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

LANE = "llm:acme"
ECHO = {"provider": "scripted", "model": "echo", "mode": "chat"}


class Pool:
    """A worker whose one place is taken, so that everything that comes has to wait."""

    def __init__(self, url: str, directory: Path, stack: ExitStack) -> None:
        self._url, self._directory, self._stack = url, directory, stack
        self.blocker: Any = None

    def start(self, **limits: float) -> WorkerProcess:
        worker = self._stack.enter_context(
            running_worker(self._url, self._directory, concurrency=1, limits=limits)
        )
        session = self._stack.enter_context(Session("blocker", redis=self._url))
        self.blocker = session.model.llm.submit(
            stream_config(hang_after=1, chunks=3), user("x"), request_id="bb" * 16, detached=True
        )
        next(iter(self.blocker))
        return worker


@pytest.fixture
def pool(redis_url: str, tmp_path: Path) -> Iterator[Pool]:
    with ExitStack() as stack:
        yield Pool(redis_url, tmp_path, stack)


def wait_in_line(session: Session, **extras: Any) -> str:
    return session.model.llm.submit(ECHO, user("x"), detached=True, **extras).request_id


def jobs(client: redis.Redis) -> set[str]:
    found: Any = client.keys(keys.job("*"))
    return {key.decode().rpartition(":")[2] for key in found} - {"bb" * 16}


def in_lane(client: redis.Redis, lane: str = LANE) -> set[str]:
    found: Any = client.lrange(keys.lane_list(lane), 0, -1)
    return {request_id.decode() for request_id in found}


def in_threads(number: int, act: Callable[[int], object]) -> Counter[str]:
    """Do something many times at once; counts what came of it by the name of the error."""
    barrier = threading.Barrier(number)
    outcomes: list[str] = []

    def run(i: int) -> None:
        barrier.wait()
        try:
            act(i)
            outcomes.append("admitted")
        except QueueFullError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def test_a_lane_takes_exactly_its_bound_from_racing_clients(
    redis_url: str, redis_client: redis.Redis, pool: Pool
) -> None:
    """Nothing leaves the lane meanwhile, so the first eight pushes, whoever's they are, stay, and
    all others step back. Fails without it: an `over_bound` that gives None was tried."""
    pool.start(lane_depth=8)
    sessions = [Session("acme", redis=redis_url) for _ in range(40)]
    assert in_threads(40, lambda i: wait_in_line(sessions[i])) == {
        "admitted": 8,
        "QueueFullError": 32,
    }
    waiting = in_lane(redis_client)
    assert len(waiting) == 8
    assert jobs(redis_client) == waiting  # of the others no job is left, and no key of theirs
    left: Any = redis_client.keys("invokeq:*")
    assert {key.decode().partition("{")[2][:32] for key in left} <= {"bb" * 16, *waiting}
    pool.blocker.cancel()
    eventually("all of them ran", lambda: not in_lane(redis_client))
    for session in sessions:
        session.close()


def test_the_error_tells_depth_and_bound(
    redis_client: redis.Redis, session: Session, pool: Pool
) -> None:
    pool.start(lane_depth=2)
    for _ in range(2):
        wait_in_line(session)
    rid = "cd" * 16
    with pytest.raises(QueueFullError) as caught:
        session.model.llm.submit(ECHO, user("x" * 100_000), request_id=rid, priority="high")
    error = caught.value
    assert (error.queue, error.depth, error.limit, error.request_id) == (LANE, 2, 2, rid)
    assert str(error) == "Lane llm:acme has 2 invocations waiting; the bound is 2"
    assert error.retryable
    assert redis_client.keys(f"*{rid}*") == []  # job, reader, parts of the body, owner
    pool.blocker.cancel()
    eventually("there is room", lambda: not in_lane(redis_client))
    assert wait_in_line(session, request_id=rid) == rid


def test_a_queue_is_bounded_over_all_of_its_lanes(
    redis_url: str, redis_client: redis.Redis, pool: Pool
) -> None:
    """Two plugins have two each. Fails without `check_queue`, and without tick.lua's count: both
    tried."""
    pool.start(queue_depth=4)
    with Session("one", redis=redis_url) as one, Session("two", redis=redis_url) as two:
        for session in (one, two, one, two):
            wait_in_line(session)
        field = keys.depth_field("llm")
        eventually("it is counted", lambda: redis_client.hget(keys.DIRECTORY, field) == b"4")
        parts_of(one).directory.forget()
        with pytest.raises(QueueFullError, match=r"Queue llm has 4 .* bound is 4"):
            wait_in_line(one, request_id="cd" * 16)
    assert redis_client.keys(f"*{'cd' * 16}*") == []


def test_a_client_counts_what_it_has_put_there_itself(
    session: Session, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody floods a queue between two looks at the directory. Fails without `Directory.count`:
    tried."""
    pool.start(queue_depth=5)
    monkeypatch.setattr(directory, "FRESH", 60.0)  # read once
    for _ in range(5):
        wait_in_line(session)
    with pytest.raises(QueueFullError):
        wait_in_line(session)


def test_a_tenant_is_bounded_and_the_others_are_not(
    redis_url: str, redis_client: redis.Redis, pool: Pool
) -> None:
    """Fails without claim.lua's ZREM: the last lines, tried; and without `count_commands`."""
    pool.start(tenant_depth=3)
    with Session("gateway", "t1", redis=redis_url) as first:
        assert in_threads(20, lambda _: wait_in_line(first)) == {
            "admitted": 3,
            "QueueFullError": 17,
        }
        with pytest.raises(QueueFullError, match="The tenant in lane llm:gateway has 3"):
            wait_in_line(first)
        with Session("gateway", "t2", redis=redis_url) as second:
            wait_in_line(second)
        with Session("gateway", redis=redis_url) as nobody:
            wait_in_line(nobody)
        assert len(in_lane(redis_client, "llm:gateway")) == 5
        assert jobs(redis_client) == in_lane(redis_client, "llm:gateway")
        pool.blocker.cancel()
        eventually("all ran", lambda: not in_lane(redis_client, "llm:gateway"))
        assert redis_client.keys("*:waiting:*") == []


@pytest.mark.parametrize("way", ["cancelled", "emptied"])
def test_what_left_the_lane_unserved_does_not_count_for_its_tenant(
    redis_url: str, redis_client: redis.Redis, pool: Pool, way: str
) -> None:
    """Fails without `_without_strays` (emptied) or the ZREM of `control.cancel`: both tried."""
    pool.start(tenant_depth=2)
    with Session("gateway", "t1", redis=redis_url) as session:
        ids = [wait_in_line(session) for _ in range(2)]
        if way == "cancelled":
            assert all(session.attach(request_id).cancel() for request_id in ids)
            assert redis_client.keys("*:waiting:*") == []
        else:
            redis_client.delete(keys.lane_list("llm:gateway"), *map(keys.job, ids))
        for _ in range(2):
            wait_in_line(session)
        with pytest.raises(QueueFullError):
            wait_in_line(session)


def test_a_job_that_a_worker_has_claimed_is_not_taken_back(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """Workers are at it while 60 clients race for a lane of one: whoever is admitted gets its
    answer, whoever is not never ran. Fails if LREM's reply alone decides, or nothing does."""
    with running_worker(redis_url, tmp_path, limits={"lane_depth": 1}) as worker:
        sessions = [Session("acme", redis=redis_url) for _ in range(60)]
        ids = [f"{i:032x}" for i in range(60)]
        admitted: list[str] = []

        def ask(i: int) -> None:
            answer = sessions[i].model.llm.submit(ECHO, user("hello"), request_id=ids[i])
            admitted.append(ids[i])
            assert answer.result().message.content == "hello"

        outcomes = in_threads(60, ask)
        assert outcomes["admitted"] == len(admitted) > 0
        assert sum(outcomes.values()) == 60
        ran = {line.split()[0] for line in worker.journal.read_text().splitlines()}
        assert ran == set(admitted)
        assert jobs(redis_client) == set(admitted)
        for session in sessions:
            session.close()
