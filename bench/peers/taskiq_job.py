# pyright: basic, reportMissingImports=false
"""taskiq with the list broker of taskiq-redis, its fastest: tasks and client."""

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker

from bench.peers import jobs
from bench.peers.client import Client, run

broker = ListQueueBroker(
    jobs.url(),
    max_connection_pool_size=100,
    socket_timeout=None,  # redis-py's five seconds would break the worker's endless BRPOP
).with_serializer(ORJSONSerializer())


@broker.task(task_name="say")
async def say(stream: str) -> None:
    await jobs.say_async(stream)


@broker.task(task_name="tell")
async def tell(stream: str, chunks: int, rate: float) -> None:
    await jobs.tell_async(stream, chunks, rate)


class TaskiqClient(Client):
    async def open(self) -> None:
        await broker.startup()

    async def say(self, stream: str) -> None:
        await say.kiq(stream)

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        await tell.kiq(stream, chunks, rate)


if __name__ == "__main__":
    run(TaskiqClient())
