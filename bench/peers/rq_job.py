"""Stock RQ: jobs and client."""

import os
from typing import Any, cast

from rq import Queue

from bench.peers import jobs
from bench.peers.client import Client, run


def say(stream: str) -> None:
    jobs.say(stream)


class RQClient(Client):
    async def open(self) -> None:
        self._queue = Queue(os.environ["BENCH_QUEUE"], connection=jobs.blocking())

    async def say(self, stream: str) -> None:
        self._queue.enqueue("bench.peers.rq_job.say", stream, result_ttl=jobs.STREAM_TTL)

    async def say_many(self, streams: list[str]) -> None:
        job = cast(Any, Queue).prepare_data
        self._queue.enqueue_many(
            [
                job("bench.peers.rq_job.say", (stream,), result_ttl=jobs.STREAM_TTL)
                for stream in streams
            ]
        )


if __name__ == "__main__":
    run(RQClient())
