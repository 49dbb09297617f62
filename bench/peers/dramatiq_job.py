# pyright: basic, reportMissingImports=false
"""Dramatiq with its Redis broker and without results: actors and client."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import jobs
from bench.peers.client import Client, run

dramatiq.set_broker(RedisBroker(url=jobs.url()))


@dramatiq.actor(actor_name="say", max_retries=0)
def say(stream: str) -> None:
    jobs.say(stream)


@dramatiq.actor(actor_name="tell", max_retries=0)
def tell(stream: str, chunks: int, rate: float) -> None:
    jobs.tell(stream, chunks, rate)


class DramatiqClient(Client):
    async def say(self, stream: str) -> None:
        say.send(stream)

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        tell.send(stream, chunks, rate)


if __name__ == "__main__":
    run(DramatiqClient())
