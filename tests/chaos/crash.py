"""Kills workers -9 at random instants while they take jobs as fast as they can.

Most kills hit between a claim and the closing of its books: whatever was claimed must end, once,
and RQ's books must add up.
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
from tests.chaos.account import Row, Story
from tests.chaos.place import Place
from tests.integration.conftest import stream_config, user
from tests.support.waiting import eventually_async

LANE: Final = "llm:crash"
WORKERS: Final = 3
ALIVE_SECONDS: Final = 0.3
"""A worker lives this long at most once it has claimed something."""

READERS: Final = 60
SETTLE_SECONDS: Final = 30.0


def crash_row(kills: int, seed: int = 1) -> tuple[Row, list[str]]:
    """Kill `kills` workers; gives the line of the table and what was wrong."""
    return asyncio.run(_crash(kills, random.Random(seed)))


async def _crash(kills: int, dice: random.Random) -> tuple[Row, list[str]]:
    stories: list[Story] = []
    stopping = asyncio.Event()
    with Place.running(WORKERS, concurrency=100) as place:
        async with AsyncSession("crash", redis=place.url) as session:
            readers = [
                asyncio.create_task(_read(session, stories, stopping)) for _ in range(READERS)
            ]
            recoveries: list[float] = []
            try:
                for _ in range(kills):
                    worker = place.workers[0]
                    await asyncio.sleep(dice.random() * ALIVE_SECONDS)
                    worker.process.kill()
                    worker.process.wait()
                    begun = time.monotonic()
                    hit = [story for story in stories if story.ended is None]
                    await place.replace(worker)
                    recoveries.append(await _ended(hit, begun))
            finally:
                stopping.set()
                await asyncio.wait_for(asyncio.gather(*readers), SETTLE_SECONDS * 2)
        row = Row.of("kill -9 at random instants of the claim", stories, recoveries)
        return row, row.problems(("WorkerLostError",)) + await _books(place.url, len(stories))


async def _read(session: AsyncSession, stories: list[Story], stopping: asyncio.Event) -> None:
    config = stream_config(chunks=2)
    while not stopping.is_set():
        story = Story(3)
        stories.append(story)
        try:
            async for chunk in session.model.llm.invoke(config, user("x")):
                story.hear(chunk.delta.index)
        except InvokeqError as error:
            story.end(error)
        else:
            story.end()


async def _ended(hit: list[Story], begun: float) -> float:
    """Wait until all of these have ended; gives the seconds."""
    while any(story.ended is None for story in hit):
        if time.monotonic() - begun > SETTLE_SECONDS:
            break  # they are in the table, without an end
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def _books(url: str, invocations: int) -> list[str]:
    """Compare RQ's books with what was asked for, once nothing is open any more."""
    with redis.Redis.from_url(url, protocol=2) as client:
        with contextlib.suppress(AssertionError):  # then it is counted below
            await eventually_async(
                "all books are closed",
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
