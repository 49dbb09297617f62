"""One session used from many threads, greenlets and tasks at once; plugins that share workers."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.protocol.redis import keys
from tests.integration.conftest import stream_config, user
from tests.support.paths import PROGRAMS
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

ECHO = {"provider": "scripted", "model": "echo"}


def read(session: Session, text: str) -> str:
    chunks = session.model.llm.invoke(ECHO, user(text))
    return "".join(str(chunk.delta.message.content) for chunk in chunks)


@pytest.mark.usefixtures("worker")
def test_threads_share_a_session(session: Session) -> None:
    texts = [f"thread {number} says this" for number in range(60)]
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(partial(read, session), texts)) == texts


@pytest.mark.usefixtures("worker")
def test_greenlets_share_a_session(redis_url: str) -> None:
    script = PROGRAMS / "gevent_reader.py"
    command = [sys.executable, str(script), redis_url, "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "{11} True", done.stdout + done.stderr


@pytest.mark.usefixtures("worker")
async def test_tasks_share_a_session(redis_url: str) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:

        async def one(number: int) -> str:
            result = await session.model.llm.invoke(ECHO, user(f"task {number}"), stream=False)
            return str(result.message.content)

        assert await asyncio.gather(*(one(n) for n in range(200))) == [
            f"task {n}" for n in range(200)
        ]


async def test_several_readers_each_get_all(redis_url: str, worker: WorkerProcess) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        invocation = await session.model.llm.submit(
            stream_config(chunks=30, rate=60), user("x"), detached=True
        )
        readers = [session.attach(invocation.request_id) for _ in range(4)]

        async def drain(reader: object) -> list[str]:
            return [c.model_dump_json() async for c in reader]  # type: ignore[attr-defined]

        first, *others = await asyncio.gather(*(drain(r) for r in [invocation, *readers]))
        assert len(first) >= 30
        assert all(other == first for other in others)
        assert worker.vendor_events(invocation.request_id) == ["started", "finished"]


def test_a_flood_in_one_lane_does_not_starve_another(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    with (
        running_worker(redis_url, tmp_path, concurrency=2) as worker,
        Session("quiet", redis=redis_url) as quiet,
    ):
        blockers = [
            session.model.llm.submit(stream_config(hang_after=1), user("x")) for _ in range(2)
        ]
        # The iterators are held: dropping one would end its blocker.
        held = [iter(blocker) for blocker in blockers]
        for items in held:
            next(items)
        flood = [session.model.llm.submit(ECHO, user("x"), detached=True) for _ in range(200)]
        few = [quiet.model.llm.submit(ECHO, user("x"), detached=True) for _ in range(5)]
        for blocker in blockers:
            blocker.close()
        for invocation in [*few, *flood]:
            list(invocation)
        order = [
            line.split(" ")[0]
            for line in worker.journal.read_text().splitlines()
            if line.endswith(" started")
        ]
        last_of_few = max(order.index(invocation.request_id) for invocation in few)
        assert last_of_few < 30  # 2 blockers, then at most 2 of the flood for each of the few
        eventually("lanes are empty", lambda: not redis_client.exists(keys.schedule("llm")))
