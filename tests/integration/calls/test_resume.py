"""Reading goes on after any event, anywhere, for anybody who knows the request id.

Each test was seen to fail: with `>=` in place of `>` where a reader sorts out what it has had, with
every entry taken to start at its own id, and with the check of the books left out after a silent
read.
"""

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import StreamExpiredError
from invokeq.invocation import Invocation
from invokeq.protocol.redis import keys
from tests.integration.conftest import stream_config, user
from tests.support.paths import ROOT
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

SEED = 20_260_101


def read(invocation: Invocation[Any, Any], limit: int | None = None) -> list[tuple[str, int]]:
    """Read chunks with the ids of their events."""
    items = ((invocation.last_id, chunk.delta.index) for chunk in invocation)
    return list(islice(items, limit))


def entries(client: redis.Redis, request_id: str) -> list[str]:
    found: Any = client.xrange(keys.events(request_id))
    return [entry_id.decode() for entry_id, _ in found]


def packed(session: Session, client: redis.Redis, chunks: int) -> tuple[str, list[tuple[str, int]]]:
    """An answer that has ended, whose stream has many chunks to an entry."""
    invocation = session.model.llm.submit(stream_config(chunks=chunks), user("x"))
    whole = read(invocation)
    assert [index for _, index in whole] == list(range(chunks + 1))
    assert len(entries(client, invocation.request_id)) < chunks / 4
    return invocation.request_id, whole


def test_900_random_cuts_of_answers_that_have_ended(
    session: Session, redis_client: redis.Redis
) -> None:
    chance = random.Random(SEED)
    inside = 0
    for _ in range(6):
        request_id, whole = packed(session, redis_client, chance.randint(40, 120))
        ends = set(entries(redis_client, request_id))
        for _ in range(150):
            cut = chance.randrange(len(whole))
            after = whole[cut][0]
            inside += after not in ends
            assert read(session.attach(request_id, after=after)) == whole[cut + 1 :]
    assert inside > 500  # most cuts went through the middle of an entry


def test_100_random_cuts_of_answers_that_are_being_made(session: Session) -> None:
    def one(number: int) -> None:
        chance = random.Random(SEED + number)
        submitted = session.model.llm.submit(
            stream_config(chunks=200, rate=400), user("x"), detached=True
        )
        seen: list[tuple[str, int]] = []
        after: str | None = None
        for cut in [chance.randint(1, 30) for _ in range(5)]:
            reader = session.attach(submitted.request_id, after=after)
            seen += read(reader, cut)
            after = seen[-1][0]
            reader.close()
        seen += read(session.attach(submitted.request_id, after=after))
        assert seen == read(session.attach(submitted.request_id))
        assert [index for _, index in seen] == list(range(201))

    with ThreadPoolExecutor(10) as threads:
        for done in [threads.submit(one, number) for number in range(20)]:
            done.result(60)


@pytest.mark.parametrize("number", range(5))
def test_a_reader_that_is_killed_is_followed_by_one_that_gets_exactly_the_rest(
    redis_url: str, session: Session, number: int
) -> None:
    cut = random.Random(SEED + number).randint(1, 150)
    command = [sys.executable, "-m", "tests.integration.programs.resume_reader", redis_url, "300"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        request_id = process.stdout.readline().strip()
        lines = [process.stdout.readline() for _ in range(cut)]
        process.kill()
        lines += process.stdout.readlines()  # what it had printed by then
    seen = [line.split() for line in lines if line.endswith("\n")]
    rest = read(session.attach(request_id, after=seen[-1][0]))
    assert [int(index) for _, index in seen] + [index for _, index in rest] == list(range(301))


def test_several_readers_of_one_stream_each_get_all(session: Session) -> None:
    submitted = session.model.llm.submit(stream_config(chunks=300, rate=600), user("x"))
    begun = threading.Barrier(9)

    def watch(_: int) -> list[tuple[str, int]]:
        begun.wait(20)
        return read(session.attach(submitted.request_id))

    with ThreadPoolExecutor(8) as threads:
        watching = [threads.submit(watch, number) for number in range(8)]
        begun.wait(20)
        whole = read(submitted)
        assert [index for _, index in whole] == list(range(301))
        assert [watcher.result(30) for watcher in watching] == [whole] * 8


async def test_reading_on_with_asyncio(redis_url: str) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        invocation = await session.model.llm.submit(stream_config(chunks=50), user("x"))
        whole = [(chunk.delta.index, invocation.last_id) async for chunk in invocation]
        for cut in (0, 7, 49, 50):
            after = whole[cut][1]
            rest = session.attach(invocation.request_id, after=after)
            assert [chunk.delta.index async for chunk in rest] == list(range(cut + 1, 51))


def test_a_stream_that_has_expired_is_an_error_from_wherever_it_is_read(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, worker: WorkerProcess
) -> None:
    worker.stop()
    with (
        running_worker(redis_url, tmp_path, name="w2", limits={"result_ttl": 1}),
        Session("acme", redis=redis_url) as session,
    ):
        invocation = session.model.llm.submit(stream_config(chunks=20), user("x"))
        (_, _), *_, (last_id, _) = read(invocation)
        key = keys.events(invocation.request_id)
        eventually("it has expired", lambda: not redis_client.exists(key))
        for after in (None, "1-7", last_id):
            with pytest.raises(StreamExpiredError):
                read(session.attach(invocation.request_id, after=after))
