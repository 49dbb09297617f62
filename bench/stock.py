"""The same job for stock RQ workers: it appends to a Redis stream that the caller reads."""

import os

import redis

_CONNECTION: dict[int, redis.Redis] = {}


def connection() -> redis.Redis:
    """One connection a process, as a careful user of RQ would have it."""
    pid = os.getpid()
    if pid not in _CONNECTION:
        _CONNECTION[pid] = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"], protocol=2)
    return _CONNECTION[pid]


def answer(stream: str) -> None:
    """Say one chunk and the end, as the no-op invocation does."""
    with connection().pipeline(transaction=False) as pipeline:
        pipeline.xadd(stream, {"k": "chunk", "d": '{"text": "x"}'})
        pipeline.xadd(stream, {"k": "done", "d": "{}"})
        pipeline.expire(stream, 60)
        pipeline.execute()
