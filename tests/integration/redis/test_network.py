"""Connections to Redis that break, or stay open and carry nothing, and Redis gone for good.

Checked to fail without the client's further tries; seen to fail while the claimer ended with Redis
away, and while a client ran out of connections after a hundred tries.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import BrokerUnavailableError, WorkerLostError
from invokeq.models.models import Models
from invokeq.protocol.redis import keys
from invokeq.session_base import parts_of
from invokeq.transport import settings
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.proxy import Proxy
from tests.support.waiting import eventually

STREAMS = 20
CHUNKS = 100
PLAN = stream_config(chunks=CHUNKS, rate=50)
BOUND = 60.0


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey.start() as started:
        yield started


@pytest.fixture
def proxy(server: EmbeddedValkey) -> Iterator[Proxy]:
    assert server.port is not None
    with Proxy.running(server.port) as running:
        yield running


def through(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


class Reading:
    """Streams that are read by threads, with how far each has come."""

    def __init__(self, session: Session, threads: ThreadPoolExecutor, count: int) -> None:
        self.invocations = [session.model.llm.submit(PLAN, user("x")) for _ in range(count)]
        self.taken = [0] * count
        self._results: list[Future[list[str]]] = [
            threads.submit(self._read, number) for number in range(count)
        ]

    def _read(self, number: int) -> list[str]:
        found: list[str] = []
        for chunk in self.invocations[number]:
            found.append(chunk.model_dump_json())
            self.taken[number] += 1
        return found

    def await_first(self) -> None:
        eventually("all have begun", lambda: min(self.taken) > 0, within=BOUND)

    def check_all_came_once(self) -> None:
        answers = [result.result(BOUND) for result in self._results]
        assert [len(answer) for answer in answers] == [CHUNKS + 1] * len(answers)
        assert all(len(set(answer)) == CHUNKS + 1 for answer in answers)


def vendor_finished(worker: WorkerProcess, reading: Reading) -> bool:
    return all("finished" in worker.vendor_events(i.request_id) for i in reading.invocations)


def test_the_whole_network_is_cut_while_streams_run(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path
) -> None:
    """Cut until every vendor has said all, so that most of each answer is kept by the worker."""
    url = through(proxy)
    env = {"INVOKEQ_REDIS_URL": url}
    with (
        running_worker(server.url, tmp_path, env=env) as worker,
        Session("acme", redis=url) as session,
        ThreadPoolExecutor(STREAMS) as threads,
    ):
        reading = Reading(session, threads, STREAMS)
        reading.await_first()
        proxy.cut()
        eventually("vendors end", lambda: vendor_finished(worker, reading), within=BOUND)
        assert max(reading.taken) < CHUNKS
        proxy.resume()
        reading.check_all_came_once()
        assert "redis reconnected" in worker.log.read_text()
        assert worker.stop() == 0


def test_the_clients_network_is_cut(server: EmbeddedValkey, proxy: Proxy, tmp_path: Path) -> None:
    with (
        running_worker(server.url, tmp_path) as worker,
        Session("acme", redis=through(proxy)) as session,
        ThreadPoolExecutor(STREAMS) as threads,
    ):
        reading = Reading(session, threads, STREAMS)
        reading.await_first()
        proxy.cut()
        eventually("vendors end", lambda: vendor_finished(worker, reading), within=BOUND)
        proxy.resume()
        reading.check_all_came_once()


async def test_the_network_of_an_async_client_is_cut(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path
) -> None:
    taken = [0] * STREAMS

    async def read(session: AsyncSession, number: int) -> list[str]:
        found: list[str] = []
        async for chunk in session.model.llm.invoke(PLAN, user("x")):
            found.append(chunk.model_dump_json())
            taken[number] += 1
        return found

    with running_worker(server.url, tmp_path):
        async with AsyncSession("acme", redis=through(proxy)) as session:
            tasks = [asyncio.create_task(read(session, n)) for n in range(STREAMS)]
            while min(taken) == 0:
                await asyncio.wait(tasks, timeout=0.01)
            proxy.cut()
            with redis.Redis.from_url(server.url, protocol=2) as client:
                finished = keys.registry("finished", "llm:acme")
                while client.zcard(finished) < STREAMS:
                    await asyncio.wait(tasks, timeout=0.05)
            proxy.resume()
            answers = await asyncio.wait_for(asyncio.gather(*tasks), BOUND)
    assert [len(answer) for answer in answers] == [CHUNKS + 1] * STREAMS
    assert all(len(set(answer)) == CHUNKS + 1 for answer in answers)


def test_a_worker_that_is_cut_off_for_longer_than_its_lease_is_given_up(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path
) -> None:
    """Nobody can tell it from a dead one; what it says when it is back is refused."""
    env = {"INVOKEQ_REDIS_URL": through(proxy)}
    plan = stream_config(chunks=3000, rate=50)
    with (
        running_worker(server.url, tmp_path, name="far", env=env) as far,
        Session("acme", redis=server.url) as session,
        redis.Redis.from_url(server.url, protocol=2) as client,
    ):
        invocation = session.model.llm.submit(plan, user("x"))
        rid = invocation.request_id
        items = iter(invocation)
        next(items)
        with running_worker(server.url, tmp_path, name="near"):
            proxy.cut()
            with pytest.raises(WorkerLostError):
                list(items)
            before = client.xrange(keys.events(rid))
            proxy.resume()
            eventually("it gave its vendor up", lambda: "closed" in far.vendor_events(rid))
            assert client.xrange(keys.events(rid)) == before


def test_half_open_connections_of_a_client_are_noticed(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 2.5  # just above the time for which a read blocks
    monkeypatch.setattr(settings, "REPLY_TIMEOUT", bound)
    with (
        running_worker(server.url, tmp_path) as worker,
        Session("acme", redis=through(proxy)) as session,
        ThreadPoolExecutor(4) as threads,
    ):
        reading = Reading(session, threads, 4)
        reading.await_first()
        proxy.stall()
        eventually("vendors end", lambda: vendor_finished(worker, reading), within=BOUND)
        proxy.resume()
        reading.check_all_came_once()


async def test_half_open_connections_of_an_async_client_are_noticed(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REPLY_TIMEOUT", 2.5)
    with running_worker(server.url, tmp_path):
        async with AsyncSession("acme", redis=through(proxy)) as session:
            found: list[str] = []
            async for chunk in session.model.llm.invoke(PLAN, user("x")):
                found.append(chunk.model_dump_json())
                if len(found) == 1:
                    proxy.stall()
                    proxy.resume()  # for new connections only
    assert len(set(found)) == len(found) == CHUNKS + 1


@pytest.mark.slow
def test_half_open_connections_of_a_worker_are_noticed_before_it_is_taken_for_dead(
    server: EmbeddedValkey, proxy: Proxy, tmp_path: Path
) -> None:
    """As after a router forgot its connections: new ones work, the old ones say nothing more."""
    env = {"INVOKEQ_REDIS_URL": through(proxy)}
    with (
        running_worker(server.url, tmp_path, name="far", env=env),
        running_worker(server.url, tmp_path, name="near", queues=("tts",)) as near,
        Session("acme", redis=server.url) as session,
        ThreadPoolExecutor(4) as threads,
    ):
        reading = Reading(session, threads, 4)
        reading.await_first()
        proxy.stall()
        proxy.resume()
        reading.check_all_came_once()
        assert list(session.model.llm.invoke(stream_config(chunks=1), user("after")))
        assert "worker dead" not in near.log.read_text()


def test_redis_is_gone_for_good(server: EmbeddedValkey, tmp_path: Path) -> None:
    plan = stream_config(chunks=100_000, rate=100)
    with (
        running_worker(server.url, tmp_path, limits={"redis_retention": 1}) as worker,
        Session("acme", redis=server.url) as session,
    ):
        parts = parts_of(session)
        options = replace(parts.options, retry_for_seconds=1.0)
        session.model = Models(parts.transport, parts.directory, options)
        invocation = session.model.llm.submit(plan, user("x"))
        items = iter(invocation)
        next(items)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(BrokerUnavailableError) as caught:
            list(items)
        assert caught.value.request_id == invocation.request_id
        assert worker.process.wait(BOUND) == 1
        assert worker.vendor_events(invocation.request_id) == ["started", "closed"]
