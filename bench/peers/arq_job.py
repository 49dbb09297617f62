# pyright: basic, reportMissingImports=false
"""arq: functions, settings of the worker, and client."""

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from bench.peers import jobs
from bench.peers.client import Client, run


async def say(ctx: dict[Any, Any], stream: str) -> None:
    await jobs.say_async(stream)


async def tell(ctx: dict[Any, Any], stream: str, chunks: int, rate: float) -> None:
    await jobs.tell_async(stream, chunks, rate)


QUIET = {"version": 1, "disable_existing_loggers": False}


class WorkerSettings:
    """Settings of the worker: a poll every 10 ms, arq's default is 500 ms."""

    functions = (say, tell)
    redis_settings = RedisSettings.from_dsn(jobs.url())
    max_jobs = jobs.concurrency()
    poll_delay = 0.01
    keep_result = 0  # the stream is the result
    log_results = False


class ArqClient(Client):
    async def open(self) -> None:
        self._pool = await create_pool(RedisSettings.from_dsn(jobs.url()))

    async def say(self, stream: str) -> None:
        await self._pool.enqueue_job("say", stream)

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        await self._pool.enqueue_job("tell", stream, chunks, rate)


if __name__ == "__main__":
    run(ArqClient())
