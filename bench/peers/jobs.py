"""The same two jobs for every peer: a no-op answer, and an answer that is streamed on schedule.

Both append to a Redis stream that the client reads. A chunk carries its due time, so that the
reader can compute the delay.
"""

import asyncio
import os
import time
from typing import Any, Final

import redis
import redis.asyncio

DONE: Final = "bench:done"
"""The key that counts finished jobs."""

STREAM_TTL: Final = 600
CONNECTIONS: Final = 2000
TEXT: Final = '{"text": "...................."}'

_BLOCKING: dict[int, Any] = {}
_ASYNC: dict[int, Any] = {}


def url() -> str:
    """Return the address of the server."""
    return os.environ["BENCH_REDIS_URL"]


def concurrency() -> int:
    """Return the concurrency of a worker."""
    return int(os.environ.get("BENCH_CONCURRENCY", "100"))


def blocking() -> Any:
    """Return the blocking client of this process; a forked process makes its own."""
    pid = os.getpid()
    if pid not in _BLOCKING:
        pool = redis.ConnectionPool.from_url(url(), max_connections=CONNECTIONS)
        _BLOCKING[pid] = redis.Redis(connection_pool=pool)
    return _BLOCKING[pid]


def on_loop() -> Any:
    """Return the client of this event loop, without redis-py's bound of 100 connections."""
    key = id(asyncio.get_running_loop())
    if key not in _ASYNC:
        pool = redis.asyncio.ConnectionPool.from_url(url(), max_connections=CONNECTIONS)
        _ASYNC[key] = redis.asyncio.Redis(connection_pool=pool)
    return _ASYNC[key]


def say(stream: str) -> None:
    """Write one chunk and the end, in one round trip."""
    with blocking().pipeline(transaction=False) as pipeline:
        _whole_answer(pipeline, stream)
        pipeline.execute()


async def say_async(stream: str) -> None:
    """Write one chunk and the end on the event loop."""
    pipeline = on_loop().pipeline(transaction=False)
    _whole_answer(pipeline, stream)
    await pipeline.execute()


def tell(stream: str, chunks: int, rate: float) -> None:
    """Stream `chunks` chunks at `rate` a second, each by an XADD of its own."""
    client = blocking()
    start = time.time()
    for index in range(chunks):
        due = start + index / rate
        pause = due - time.time()
        if pause > 0:
            time.sleep(pause)
        client.xadd(stream, _chunk(due))
    with client.pipeline(transaction=False) as pipeline:
        _end(pipeline, stream)
        pipeline.execute()


async def tell_async(stream: str, chunks: int, rate: float) -> None:
    """Stream chunks on the event loop."""
    client = on_loop()
    start = time.time()
    for index in range(chunks):
        due = start + index / rate
        pause = due - time.time()
        if pause > 0:
            await asyncio.sleep(pause)
        await client.xadd(stream, _chunk(due))
    pipeline = client.pipeline(transaction=False)
    _end(pipeline, stream)
    await pipeline.execute()


def _chunk(due: float) -> dict[str, str]:
    return {"k": "chunk", "d": TEXT, "due": repr(due)}


def _whole_answer(pipeline: Any, stream: str) -> None:
    pipeline.xadd(stream, _chunk(0.0))
    _end(pipeline, stream)


def _end(pipeline: Any, stream: str) -> None:
    pipeline.xadd(stream, {"k": "done", "d": "{}"})
    pipeline.expire(stream, STREAM_TTL)
    pipeline.incr(DONE)
