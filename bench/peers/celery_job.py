# pyright: basic, reportMissingImports=false
"""Celery with its pool of threads and Redis as the broker: app, tasks and client."""

from celery import Celery

from bench.peers import jobs
from bench.peers.client import Client, run

app = Celery("bench", broker=jobs.url())
app.conf.update(
    task_ignore_result=True,  # the stream is the result
    worker_prefetch_multiplier=4,
    worker_send_task_events=False,
    broker_pool_limit=None,
    broker_connection_retry_on_startup=True,
)


@app.task(name="say")
def say(stream: str) -> None:
    jobs.say(stream)


@app.task(name="tell")
def tell(stream: str, chunks: int, rate: float) -> None:
    jobs.tell(stream, chunks, rate)


class CeleryClient(Client):
    async def say(self, stream: str) -> None:
        say.apply_async((stream,))

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        tell.apply_async((stream, chunks, rate))


if __name__ == "__main__":
    run(CeleryClient())
