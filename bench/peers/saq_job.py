# pyright: basic, reportMissingImports=false
"""SAQ: functions, settings of the worker, and client."""

from typing import Any

from saq import Queue

from bench.peers import jobs
from bench.peers.client import Client, run

NO_LIMIT = 0  # SAQ's own ten seconds would end streams that are late


async def say(ctx: dict[str, Any], *, stream: str) -> None:
    await jobs.say_async(stream)


async def tell(ctx: dict[str, Any], *, stream: str, chunks: int, rate: float) -> None:
    await jobs.tell_async(stream, chunks, rate)


settings = {
    "queue": Queue.from_url(jobs.url(), name="bench"),
    "functions": [say, tell],
    "concurrency": jobs.concurrency(),
}


class SaqClient(Client):
    async def open(self) -> None:
        self._queue = Queue.from_url(jobs.url(), name="bench")
        await self._queue.connect()

    async def say(self, stream: str) -> None:
        await self._queue.enqueue("say", stream=stream, timeout=NO_LIMIT)

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        await self._queue.enqueue("tell", stream=stream, chunks=chunks, rate=rate, timeout=NO_LIMIT)


if __name__ == "__main__":
    run(SaqClient())
