# pyright: basic, reportMissingImports=false
"""Docket: tasks and client."""

from docket import Docket

from bench.peers import jobs
from bench.peers.client import Client, run

NAME = "bench"


async def say(stream: str) -> None:
    await jobs.say_async(stream)


async def tell(stream: str, chunks: int, rate: float) -> None:
    await jobs.tell_async(stream, chunks, rate)


tasks = [say, tell]


class DocketClient(Client):
    async def open(self) -> None:
        self._docket = Docket(NAME, f"{jobs.url()}?max_connections={jobs.CONNECTIONS}")
        await self._docket.__aenter__()
        for task in tasks:
            self._docket.register(task)

    async def say(self, stream: str) -> None:
        await self._docket.add(say)(stream)

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        await self._docket.add(tell)(stream, chunks, rate)


if __name__ == "__main__":
    run(DocketClient())
