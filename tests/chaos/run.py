"""Runs one fault, several times, under load, and gives its line of the table."""

import time
from dataclasses import dataclass

import redis

from invokeq.protocol import keys
from tests.chaos.account import Row
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.place import Place
from tests.waiting import eventually_async

SETTLE_SECONDS = 20.0


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
                begun = time.monotonic()
                await fault.inject(place, load)
                over = time.monotonic()
                await load.recovery(over)
                recoveries.append(time.monotonic() - (over if fault.heals else begun))
        await _books_are_closed(place.url)
    return Row.of(fault.name, load.stories, recoveries)


async def _books_are_closed(url: str) -> None:
    """Wait until RQ's registries hold no execution: nothing is lost there either."""
    lane = "llm:chaos"
    waiting = keys.lane_list(lane)
    with redis.Redis.from_url(url, protocol=2) as client:

        def closed() -> bool:
            return not (client.zcard(keys.registry("wip", lane)) or client.llen(waiting))

        await eventually_async("RQ's books are closed", closed, within=SETTLE_SECONDS)
