"""Inject one fault several times under load, and report the outcome."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from invokeq.protocol.redis import keys
from tests.chaos.audit import FaultReport
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.testbed import Testbed
from tests.support.waiting import eventually_async

SETTLE_SECONDS = 60.0

FRESH_MS = 3500
"""The least remaining life of a fresh lease: of five seconds, with a renewal every second."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of the load, and the number of injections of each fault."""

    streams: int
    chunks: int
    rate: float
    times: int


async def run_fault(fault: Fault, size: Size) -> FaultReport:
    """Inject a fault `size.times` times in turn; raise AssertionError if the load is stuck."""
    recoveries: list[float] = []
    with Testbed.running(fault.workers) as testbed:
        async with Load.running(testbed.url, size.streams, size.chunks, size.rate) as load:
            for _ in range(size.times):
                await load.flows()
                await _leases_are_fresh(testbed)
                begun = time.monotonic()
                recovered = await fault.inject(testbed, load)
                over = time.monotonic()
                await load.recovery(over)
                since = over if fault.heals else begun
                recoveries.append(recovered or time.monotonic() - since)
        await _job_records_are_final(testbed.url)
    return FaultReport.of(fault.name, load.audits, recoveries)


async def _leases_are_fresh(testbed: Testbed) -> None:
    """Wait until every worker has just renewed its lease, so that faults do not add up."""
    with redis.Redis.from_url(testbed.url, protocol=2) as client:

        def fresh() -> bool:
            (seconds, micros), *ends = _ask_leases(client, [w.name for w in testbed.workers])
            now = seconds * 1000 + micros / 1000
            return all(end is not None and end - now > FRESH_MS for end in ends)

        await eventually_async("all leases are fresh", fresh, within=SETTLE_SECONDS)


def _ask_leases(client: redis.Redis, workers: Sequence[str]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.time()
    for name in workers:
        pipeline.zscore(keys.LEASES, name)
    return pipeline.execute()


async def _job_records_are_final(url: str) -> None:
    """Wait until every job is finalized and no job waits: RQ's records lose no job either."""
    lane = "llm:chaos"
    waiting = keys.lane_list(lane)
    with redis.Redis.from_url(url, protocol=2) as client:

        def closed() -> bool:
            return not (client.zcard(keys.registry("wip", lane)) or client.llen(waiting))

        await eventually_async("all jobs are finalized", closed, within=SETTLE_SECONDS)
