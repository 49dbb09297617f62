"""A master that dies, and the replica that Sentinel makes master in its place.

Seen to fail while the blocking client did not look the master's address up.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import BrokerUnavailableError, EventsLostError, InvalidConfigurationError
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker
from tests.support.servers.clusters import RunningSentinel, free_port, running_sentinel
from tests.support.waiting import eventually

STREAMS = 10
CHUNKS = 300
PLAN = stream_config(chunks=CHUNKS, rate=50)
BOUND = 60.0


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[RunningSentinel]:
    with running_sentinel(tmp_path) as running:
        yield running


async def read_async(session: AsyncSession, taken: list[int]) -> int:
    seen: set[str] = set()
    async for chunk in session.model.llm.invoke(PLAN, user("x")):
        seen.add(chunk.model_dump_json())
        taken.append(1)
    return len(seen)


def test_streams_go_on_after_a_failover(sentinel: RunningSentinel, tmp_path: Path) -> None:
    taken = [0] * STREAMS

    def read(session: Session, number: int) -> str:
        seen: set[str] = set()
        try:
            for chunk in session.model.llm.invoke(PLAN, user("x")):
                seen.add(chunk.model_dump_json())
                taken[number] += 1
        except EventsLostError:
            return "told"
        return "whole" if len(seen) == taken[number] == CHUNKS + 1 else f"{len(seen)} of {taken}"

    async def other(others: list[int]) -> int:
        async with AsyncSession("acme", redis=sentinel.url) as session:
            return await read_async(session, others)

    others: list[int] = []
    with (
        running_worker(sentinel.url, tmp_path) as worker,
        Session("acme", redis=sentinel.url) as session,
        ThreadPoolExecutor(STREAMS + 1) as threads,
    ):
        results = [threads.submit(read, session, number) for number in range(STREAMS)]
        also = threads.submit(lambda: asyncio.run(other(others)))
        eventually("all have begun", lambda: min(taken) > 0 and others)
        os.kill(sentinel.master.pid, signal.SIGKILL)
        ends = [result.result(BOUND) for result in results]
        assert set(ends) <= {"whole", "told"}
        assert "whole" in ends
        assert also.result(BOUND) == CHUNKS + 1
        assert list(session.model.llm.invoke(stream_config(chunks=1), user("after")))
        assert "redis reconnected" in worker.log.read_text()
        assert worker.stop() == 0


def test_what_replication_lost_is_told(sentinel: RunningSentinel, tmp_path: Path) -> None:
    """Who had read it goes on; who comes later is told that it is gone."""
    with (
        running_worker(sentinel.url, tmp_path),
        Session("acme", redis=sentinel.url) as session,
        redis.Redis.from_url(sentinel.master.url, protocol=2) as master,
    ):
        invocation = session.model.llm.submit(PLAN, user("x"))
        items = iter(invocation)
        found = [next(items).model_dump_json()]
        os.kill(sentinel.replica.pid, signal.SIGSTOP)
        master.execute_command("CLIENT", "KILL", "TYPE", "replica")
        found += [next(items).model_dump_json() for _ in range(100)]
        os.kill(sentinel.master.pid, signal.SIGKILL)
        os.kill(sentinel.replica.pid, signal.SIGCONT)
        found += [chunk.model_dump_json() for chunk in items]
        assert len(set(found)) == len(found) == CHUNKS + 1
        with pytest.raises(EventsLostError):
            list(session.attach(invocation.request_id))


def test_sentinels_that_are_away_are_told() -> None:
    with (
        Session("acme", redis=f"redis+sentinel://:pw@127.0.0.1:{free_port()}/mymaster") as session,
        pytest.raises(BrokerUnavailableError, match="mymaster") as caught,
    ):
        session.workers()
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://127.0.0.1:26379", "names no master"),
        ("redis+sentinel:///mymaster", "names no host"),
        ("redis+sentinel://127.0.0.1:x/mymaster", "port"),
        ("redis+else://127.0.0.1", "must start with"),
    ],
)
def test_a_url_that_is_none(url: str, problem: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=problem):
        Session("acme", redis=url)
