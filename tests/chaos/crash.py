"""Kill workers with SIGKILL at random instants while all workers claim jobs at full speed.

Most kills hit between a claim and the finalization of the job. Every claimed job must end exactly
once, and RQ's job records must add up.
"""

import asyncio
import contextlib
import random
import time
from typing import Final

import redis

from invokeq import AsyncSession
from invokeq.errors import InvokeqError
from invokeq.protocol.redis import keys
from tests.chaos.audit import FaultReport, StreamAudit
from tests.chaos.testbed import Testbed
from tests.integration.conftest import stream_config, user
from tests.support.waiting import eventually_async

LANE: Final = "llm:crash"
WORKERS: Final = 3
ALIVE_SECONDS: Final = 0.3
"""The longest life of a worker after its first claim."""

READERS: Final = 60
SETTLE_SECONDS: Final = 60.0


def report_crashes(kills: int, seed: int = 1) -> tuple[FaultReport, list[str]]:
    """Kill `kills` workers; return the line of the table and the broken promises."""
    return asyncio.run(_crash(kills, random.Random(seed)))


async def _crash(kills: int, rng: random.Random) -> tuple[FaultReport, list[str]]:
    audits: list[StreamAudit] = []
    stopping = asyncio.Event()
    with Testbed.running(WORKERS, concurrency=100) as testbed:
        async with AsyncSession("crash", redis=testbed.url) as session:
            readers = [
                asyncio.create_task(_read(session, audits, stopping)) for _ in range(READERS)
            ]
            recoveries: list[float] = []
            try:
                for _ in range(kills):
                    worker = testbed.workers[0]
                    await asyncio.sleep(rng.random() * ALIVE_SECONDS)
                    worker.process.kill()
                    worker.process.wait()
                    begun = time.monotonic()
                    hit = [audit for audit in audits if audit.ended is None]
                    await testbed.replace(worker)
                    recoveries.append(await _ended(hit, begun))
            finally:
                stopping.set()
                await asyncio.wait_for(asyncio.gather(*readers), SETTLE_SECONDS * 2)
        report = FaultReport.of("kill -9 at random instants of the claim", audits, recoveries)
        problems = report.problems(("WorkerLostError",))
        problems += await _check_job_records(testbed.url, len(audits))
        return report, problems


async def _read(session: AsyncSession, audits: list[StreamAudit], stopping: asyncio.Event) -> None:
    config = stream_config(chunks=2)
    while not stopping.is_set():
        audit = StreamAudit(3)
        audits.append(audit)
        try:
            async for chunk in session.model.llm.invoke(config, user("x")):
                audit.receive(chunk.delta.index)
        except InvokeqError as error:
            audit.end(error)
        else:
            audit.end()


async def _ended(hit: list[StreamAudit], begun: float) -> float:
    """Wait until all audited streams have ended; return the seconds."""
    while any(audit.ended is None for audit in hit):
        if time.monotonic() - begun > SETTLE_SECONDS:
            break  # the table counts these streams as "no end"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def _check_job_records(url: str, invocations: int) -> list[str]:
    """Compare RQ's job records with the number of invocations, once no job runs any more."""
    with redis.Redis.from_url(url, protocol=2) as client:
        with contextlib.suppress(AssertionError):  # jobs that still run are counted below
            await eventually_async(
                "all jobs are finalized",
                lambda: not client.zcard(keys.registry("wip", LANE)),
                within=SETTLE_SECONDS,
            )
        count = {kind: client.zcard(keys.registry(kind, LANE)) for kind in _KINDS}
        waiting = client.llen(keys.lane_list(LANE))
    problems = [f"crashes: {count['wip']} jobs left running"] if count["wip"] else []
    problems += [f"crashes: {waiting} jobs left waiting"] if waiting else []
    ended = sum(int(number) for number in count.values())  # type: ignore[arg-type]
    if ended != invocations:
        problems.append(f"crashes: {invocations} invocations, but {ended} in RQ's registries")
    return problems


_KINDS: Final = ("wip", "finished", "failed", "canceled")
