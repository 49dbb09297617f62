"""Runs one fault, several times, under load, and gives its line of the table."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from invokeq.protocol.redis import keys
from tests.chaos.account import Row
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.place import Place
from tests.support.waiting import eventually_async

SETTLE_SECONDS = 20.0

FRESH_MS = 3500
"""A lease lives five seconds and is renewed every second."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much load, and how often each fault."""

    streams: int
    chunks: int
    rate: float
    times: int


async def run_fault(fault: Fault, size: Size) -> Row:
    """Inject a fault `size.times` times, one after the other; AssertionError if all is stuck."""
    recoveries: list[float] = []
    with Place.running(fault.workers) as place:
        async with Load.running(place.url, size.streams, size.chunks, size.rate) as load:
            for _ in range(size.times):
                await load.flows()
                await _leases_are_fresh(place)
                begun = time.monotonic()
                recovered = await fault.inject(place, load)
                over = time.monotonic()
                await load.recovery(over)
                since = over if fault.heals else begun
                recoveries.append(recovered or time.monotonic() - since)
        await _books_are_closed(place.url)
    return Row.of(fault.name, load.stories, recoveries)


async def _leases_are_fresh(place: Place) -> None:
    """Wait until every worker has just renewed its lease, so that faults do not add up."""
    with redis.Redis.from_url(place.url, protocol=2) as client:

        def fresh() -> bool:
            (seconds, micros), *ends = _ask_leases(client, [w.name for w in place.workers])
            now = seconds * 1000 + micros / 1000
            return all(end is not None and end - now > FRESH_MS for end in ends)

        await eventually_async("all leases are fresh", fresh, within=SETTLE_SECONDS)


def _ask_leases(client: redis.Redis, workers: Sequence[str]) -> list[Any]:
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.time()
    for name in workers:
        pipeline.zscore(keys.LEASES, name)
    return pipeline.execute()


async def _books_are_closed(url: str) -> None:
    """Wait until RQ's registries hold no execution: nothing is lost there either."""
    lane = "llm:chaos"
    waiting = keys.lane_list(lane)
    with redis.Redis.from_url(url, protocol=2) as client:

        def closed() -> bool:
            return not (client.zcard(keys.registry("wip", lane)) or client.llen(waiting))

        await eventually_async("RQ's books are closed", closed, within=SETTLE_SECONDS)
