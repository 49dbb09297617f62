"""The transports of fake sessions: the real plans run on a Redis in memory."""

from collections.abc import Callable
from functools import partial
from typing import Final

from invokeq.operations.directory import Directory, LiveWorker
from invokeq.operations.plan import Plan
from invokeq.protocol.directory import QueueBounds
from invokeq.protocol.entities import ModelType
from invokeq.protocol.redis.resp import Reply
from invokeq.testing.memory_redis import MemoryRedis
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.batch import Batch
from invokeq.transport.blocking import Transport

NOWHERE: Final = "redis://nowhere.invalid"
"""The address of a fake session; no request is ever sent there."""

_NO_BOUNDS: Final = QueueBounds(lane=0, queue=0, tenant=0)


class FakeTransport(Transport):
    """Executes batches in memory."""

    in_memory = True

    def __init__(self, redis: MemoryRedis) -> None:
        super().__init__(NOWHERE)
        self._redis = redis

    def blocking_twin(self) -> Callable[[], Transport]:
        return partial(FakeTransport, self._redis)

    def once(self, batch: Batch) -> list[Reply]:
        return self._redis.execute(batch.all_commands)


class FakeAsyncTransport(AsyncTransport):
    """Executes batches in memory, on asyncio."""

    in_memory = True

    def __init__(self, redis: MemoryRedis) -> None:
        super().__init__(NOWHERE)
        self._redis = redis

    def blocking_twin(self) -> Callable[[], Transport]:
        return partial(FakeTransport, self._redis)

    async def once(self, batch: Batch) -> list[Reply]:
        return self._redis.execute(batch.all_commands)


class FakeDirectory(Directory):
    """Serves every model of every provider, without a bound and without a live worker."""

    def workers(self) -> Plan[tuple[LiveWorker, ...]]:
        yield from ()
        return ()

    def summary_model(self) -> Plan[tuple[str, str]]:
        yield from ()
        return "fake", "summary"

    def queue_for(self, model_type: ModelType, provider: str, model: str) -> Plan[str]:
        yield from ()
        return model_type.value

    def bounds(self, queue: str) -> QueueBounds:
        return _NO_BOUNDS
